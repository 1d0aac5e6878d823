"""Speed and memory of CDN-MEDAL-net: ratios on the same frames in one run.

1. CDN-GM's background of every frame of a stream: block outputs kept, against computing the whole window.
2. The whole pipeline (background, difference, threshold), against OpenCV's MOG2 on the same cores.
3. Training steps of MEDAL-net, against a straightforward implementation: PyTorch's default memory layout,
   `InstanceNorm2d`, memory returned to the system. Each measurement has its own process, because the C library's use
   of memory cannot be reset.
4. Memory of what a stream keeps.

    python benchmarks/cdn_medal.py                  # ratios, on a CPU
    python benchmarks/cdn_medal.py --device cuda    # frames per second too, with the card's name

The frames are noise. Only MOG2 depends on what they show, so it is timed on `--frames` (a folder of images) where they
are given.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from measure import interleaved, rate, show
from torch import Tensor, nn

from bgsub_lightning.core.console import console
from bgsub_lightning.core.memory import keep_freed_memory
from bgsub_lightning.systems.cdn_medal.background import BlockWindow, DensityBackground, FrameWindow, MixtureWindow
from bgsub_lightning.systems.cdn_medal.cdn_gm import CdnGm, hard_sigmoid
from bgsub_lightning.systems.cdn_medal.medal_net import MedalNet

SIZE = (320, 240)
PAPER = 129.45  # frames per second on a GTX 1070 Ti (section IV-D)


def straightforward() -> nn.Module:
    """MEDAL-net as table II is commonly written down."""

    def unit(inputs: int, outputs: int) -> list[nn.Module]:
        depthwise = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False)
        return [depthwise, nn.Conv2d(inputs, outputs, 1, bias=False)]

    layers: list[nn.Module] = []
    for inputs, after in ((6, nn.ReLU()), (16, nn.MaxPool2d(2)), (16, nn.ReLU()), (16, nn.MaxPool2d(2))):
        layers += [*unit(inputs, 16), *([nn.ReLU(), after] if isinstance(after, nn.MaxPool2d) else [after])]
    for scale in (2, 2, 1):
        layers += [*unit(16, 16), nn.InstanceNorm2d(16, affine=True), nn.ReLU()]
        layers += [nn.Upsample(scale_factor=2)] if scale == 2 else []
    return nn.Sequential(*layers, *unit(16, 1))


def training_rate(form: str, seconds: float) -> float:
    """Steps per second of one form, one frame a step."""
    if form == "ours":
        keep_freed_memory()
        network = MedalNet()
        forward = network.forward
    else:
        network = straightforward()

        def forward(image: Tensor, background: Tensor) -> Tensor:
            return network(torch.cat([image, background], dim=1))[:, 0]

    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    pixels = torch.randint(256, (2, SIZE[1], SIZE[0], 3), dtype=torch.uint8)
    target = (torch.rand(1, SIZE[1], SIZE[0]) > 0.9).float()

    def step() -> None:
        image, background = pixels.movedim(-1, 1).float().div_(255)[:, None]
        loss = nn.functional.binary_cross_entropy_with_logits(forward(image, background), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return rate(step, seconds)


def stream_rate(
    window: MixtureWindow, network: CdnGm, frames: Tensor, chunk: int, seconds: float, device: str
) -> float:
    """Frames per second, of a window that is full."""
    for i in range(252):
        window.push(network, frames[i % len(frames)].flatten(1))

    def step() -> None:
        for frame in frames[:chunk]:
            mixture = window.push(network, frame.flatten(1))
            if mixture is not None:
                mixture.background()

    return rate(step, seconds, device) * chunk


def pipeline_rate(frames: Tensor, batch: int, seconds: float, device: str) -> float:
    """Frames per second from 8-bit frames to masks, in batches."""
    background, difference = DensityBackground().to(device), MedalNet().to(device)

    context = background.begin_scene()

    def step() -> None:
        for start in range(0, len(frames) - batch + 1, batch):
            images = frames[start : start + batch].to(device).movedim(-1, 1).float().div_(255)
            (hard_sigmoid(difference(images, background.push(context, images))) > 0.3).cpu()

    step()
    return rate(step, seconds, device) * (len(frames) // batch) * batch


def mog2_rate(frames: Sequence[np.ndarray], seconds: float) -> float:
    subtractor = cv2.createBackgroundSubtractorMOG2()

    def step() -> None:
        for frame in frames:
            subtractor.apply(frame)

    return rate(step, seconds) * len(frames)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--frames", type=Path, help="folder of images, in the order of their names")
    parser.add_argument("--batch", type=int, default=8, help="frames at once in the pipeline")
    parser.add_argument("--seconds", type=float, default=4, help="length of each measurement")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each way, in turn")
    parser.add_argument("--train", choices=["ours", "straightforward"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train:
        print(training_rate(options.train, options.seconds))
        return
    keep_freed_memory()
    device, seconds = options.device, options.seconds
    unit = "frames/s" if device != "cpu" else None  # absolute figures only where the card can be named
    card = torch.cuda.get_device_name() if device != "cpu" else f"CPU ({platform.machine()})"
    console.print(f"{card}, {torch.get_num_threads()} threads, torch {torch.__version__}, OpenCV {cv2.__version__}")
    if options.frames:
        files = sorted(options.frames.iterdir())[:98]
        pictures = [cv2.resize(cv2.imread(str(file)), SIZE) for file in files]
    else:
        pictures = list(np.random.default_rng(0).integers(256, size=(98, SIZE[1], SIZE[0], 3), dtype=np.uint8))
    raw = torch.from_numpy(np.stack(pictures))
    frames = raw[:49].to(device).movedim(-1, 1).float().div_(255)
    network = CdnGm().to(device)
    with torch.inference_mode():
        ways = {
            "block outputs kept": lambda: stream_rate(BlockWindow(), network, frames, 49, seconds, device),
            "whole window every 7 frames": lambda: stream_rate(
                FrameWindow(network.history), network, frames, 14, seconds, device
            ),
            "whole window every frame": lambda: stream_rate(
                FrameWindow(network.history, 1), network, frames, 2, seconds, device
            ),
        }
        rates = interleaved(ways, options.rounds)
        show("1. Backgrounds of a stream, 320×240", rates, "whole window every frame", unit)
        console.print(
            f"   block outputs kept against every 7 frames: "
            f"{rates['block outputs kept'] / rates['whole window every 7 frames']:.2f}"
        )
        ways = {"CDN-MEDAL-net": lambda: pipeline_rate(raw, options.batch, seconds, device)}
        if device == "cpu":
            ways["MOG2 (OpenCV)"] = lambda: mog2_rate(pictures, seconds)
            show("2. Pipeline, 320×240", interleaved(ways, options.rounds), "MOG2 (OpenCV)", None)
        else:
            pipeline = interleaved(ways, options.rounds) | {"paper (GTX 1070 Ti)": PAPER}
            show("2. Pipeline, 320×240", pipeline, "paper (GTX 1070 Ti)", unit)
    if device == "cpu":

        def in_a_process(form: str) -> float:
            command = [sys.executable, __file__, "--train", form, "--seconds", str(seconds)]
            return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

        ways = {form: lambda form=form: in_a_process(form) for form in ("ours", "straightforward")}
        rates = interleaved(ways, options.rounds)
        show("3. Training steps of MEDAL-net, one frame of 320×240", rates, "straightforward", None)
    kept, window = BlockWindow(), FrameWindow(network.history)
    with torch.inference_mode():
        for i in range(252):
            for each in (kept, window):
                each.push(network, frames[i % len(frames)].flatten(1))
    held = [sum(each.nbytes for each in arrays) / 2**20 for arrays in ([*kept.groups, *kept.blocks], window.frames)]
    console.print(
        f"4. Memory of what is kept at 320×240, measured\n   frames of the window: {held[1]:.0f} MiB as "
        f"{window.frames[0].dtype} ({4 * held[1]:.0f} MiB if they were float32)\n   or block and group outputs: "
        f"{held[0]:.0f} MiB as {kept.groups[0].dtype}"
    )


if __name__ == "__main__":
    main()
