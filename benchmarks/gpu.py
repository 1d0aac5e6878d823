"""What a card does: whether it computes what a CPU computes, and how fast it trains and segments, in one table.

Everything is made here: scenes are rendered into a temporary folder, and no dataset or weights are needed. Trainings
of a step are run by the real command line, several at a time.

- Each small system: masks, loss and gradients of the first step of each stage on the card against the CPU, in float32
  without TF32 and in bf16; a training by DDP on one card against one without; a training that is resumed on the other
  device against one that was not stopped.
- BMN-BSN of the paper (K = 64): training samples a second by batch and precision, channels last, compiled, by CUDA
  graphs, with the share of the rate that matrix products reach on this card; and what the loader brings.
- Frames a second: CDN-MEDAL-net, AnyScene, Fast BSUV-Net 2.0 and SeqFeedNet at full width, at 320×240 and 1920×1080,
  one by one and 16 at a time; `segment` of a video file as a whole.

    python benchmarks/gpu.py                       # at most 8 minutes on one card
    python benchmarks/gpu.py --device cpu --tiny   # every part, small: what the tests run

The exit status is 1 if anything is farther from the CPU than its bound.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

import cv2
import lightning
import numpy as np
import torch
from data_pipeline import cycle_of, loader
from data_pipeline import rate as loader_rate
from lightning.pytorch import Callback, LightningModule, Trainer
from measure import rate, run_program, synchronize, table_of
from numpy.typing import NDArray
from systems import STAGES, train
from torch.utils.flop_counter import FlopCounterMode

from bgsub_lightning import systems
from bgsub_lightning.core.console import console
from bgsub_lightning.core.memory import keep_freed_memory
from bgsub_lightning.datasets import CDnet2014
from bgsub_lightning.frames import FrameStore, SceneFrames, fill, read_image
from bgsub_lightning.inference import Subtractor, System, load_system
from bgsub_lightning.losses import masked_cross_entropy
from bgsub_lightning.splits import FrameSet
from bgsub_lightning.synthetic import plan, render_all
from bgsub_lightning.systems.kinds import StagedSystem

BOUNDS = {
    ("32-true", "loss"): 1e-3,
    ("32-true", "gradients"): 2e-2,
    ("32-true", "masks"): 1e-3,
    ("bf16-mixed", "loss"): 5e-2,
    ("bf16-mixed", "gradients"): 0.5,
}
"""Largest difference from the CPU: of a loss and of all gradients together, relative; of masks, the share of pixels."""

DDP_BOUND, RESUME_BOUND = 1e-3, 2e-3
"""Of weights, relative: by DDP on one card against without; resumed on the other device against not stopped. The first
steps of Adam have the sign of a gradient, however near to 0, so that rounding shows."""

PAPER_FPS = 129
"""Of CDN-MEDAL-net at 320×240, by its paper."""


class Trace(Callback):
    """Writes down the loss and the gradients of the first step of each stage, and the weights at the end.

    What would differ for good reasons is taken out: dropout, whose draws are a device's own, and TF32.

    Args:
        file: Where to.
    """

    def __init__(self, file: str) -> None:
        self.file = Path(file)
        self.found: dict[str, Any] = {}
        self.gradients: torch.Tensor | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take out what differs."""
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        for module in pl_module.modules():
            if isinstance(module, torch.nn.modules.dropout._DropoutNd):
                module.p = 0.0

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Keep the gradients."""
        found = [each.grad.detach().flatten().float().cpu() for each in pl_module.parameters() if each.grad is not None]
        self.gradients = torch.cat(found)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note the first step of a stage."""
        stage = pl_module.span.name if isinstance(pl_module, StagedSystem) else ""
        if stage not in self.found:
            self.found[stage] = {"loss": float(outputs["loss"]), "gradients": self.gradients}

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write it."""
        weights = torch.cat([each.detach().flatten().float().cpu() for each in pl_module.parameters()])
        torch.save({"stages": self.found, "weights": weights}, self.file)


@dataclass
class Row:
    """A line of the table."""

    part: str
    what: str
    value: str
    against: str = ""
    is_far: bool = False


@dataclass
class Job:
    """What is measured, where.

    Attributes:
        device: ``cuda`` or ``cpu``.
        tiny: Whether each part is run small.
        folder: Where everything is made.
        rows: What was found so far.
    """

    device: str
    tiny: bool
    folder: Path
    rows: list[Row] = field(default_factory=list)

    @property
    def accelerator(self) -> str:
        """Lightning's name of the device."""
        return "gpu" if self.device == "cuda" else "cpu"

    @property
    def seconds(self) -> float:
        """Length of a measurement."""
        return 0.2 if self.tiny else 2.0

    def add(self, part: str, what: str, value: str, against: str = "", is_far: bool = False) -> None:
        """Keep a line, and print it at once."""
        self.rows.append(Row(part, what, value, against, is_far))
        console.print(f"{part}: {what}: {value} {against}{'  FAR' if is_far else ''}", soft_wrap=True)

    def compare(self, part: str, what: str, distance: float, bound: float) -> None:
        """Keep a difference from the CPU."""
        self.add(part, what, f"{distance:.1e}", f"at most {bound:.0e}", not distance <= bound)


# --- the same as on the CPU ------------------------------------------------------------------------------------------


def fit(job: Job, name: str, run: str, accelerator: str, *more: str, steps: int = 1) -> dict[str, Any]:
    """Train a small system for some steps of each stage; return what :class:`Trace` has written."""
    file = job.folder / f"{run}_{accelerator}.pt"
    callback = {"class_path": "gpu.Trace", "init_args": {"file": str(file)}}
    same = ("--data.init_args.transforms=[]", "--data.init_args.flip=0", "--last.every_n_train_steps=1")
    train(name, False, job.folder / "runs" / run, job.folder, callback, steps, accelerator, *same, *more)
    return torch.load(file, weights_only=True)


def distance(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the relative difference of two vectors."""
    return float((found - expected).norm() / expected.norm().clamp(min=1e-12))


def correctness(job: Job) -> None:
    """Compare each system on the card with itself on the CPU."""
    names = ("any_scene", "crossnet") if job.tiny else tuple(STAGES)
    precisions = ("32-true",) if job.tiny else ("32-true", "bf16-mixed")
    tasks: dict[tuple[str, str], tuple[str, ...]] = {}
    for name in names:
        tasks[name, "cpu"] = ("cpu", "--trainer.precision=32-true")
        for precision in precisions:
            tasks[name, precision] = (job.accelerator, f"--trainer.precision={precision}")
    fill_store(job)
    with ThreadPoolExecutor(1 if job.tiny else max(1, min(6, (os.cpu_count() or 1) // 2))) as pool:
        made = {key: pool.submit(fit, job, key[0], f"{key[0]}_{key[1]}", *task) for key, task in tasks.items()}
        found = {key: each.result() for key, each in made.items()}
    for name in names:
        expected = found[name, "cpu"]["stages"]
        for precision in precisions:
            for stage, each in found[name, precision]["stages"].items():
                what = f"{name}{f', {stage}' if stage else ''}"
                loss, gradients = expected[stage]["loss"], expected[stage]["gradients"]
                apart = abs(each["loss"] - loss) / max(abs(loss), 1e-12)
                job.compare(f"against CPU, {precision}", f"{what}: loss", apart, BOUNDS[precision, "loss"])
                apart = distance(each["gradients"], gradients)
                job.compare(f"against CPU, {precision}", f"{what}: gradients", apart, BOUNDS[precision, "gradients"])
        apart = masks_apart(job, name)
        job.compare("against CPU, 32-true", f"{name}: masks", apart, BOUNDS["32-true", "masks"])


def fill_store(job: Job) -> None:
    """Decode what several trainings at once would decode at the same time."""
    scenes = CDnet2014().scenes(job.folder / "scenes")
    store = FrameStore(job.folder / "store")
    for size in {(320, 240), (160, 120), (256, 256)}:
        fill([SceneFrames(scene, size, store) for scene in scenes])


def masks_apart(job: Job, name: str) -> float:
    """Return the share of pixels that card and CPU judge otherwise, with the weights of the CPU's training."""
    frames = frames_of(job, 24)
    masks = []
    with without_tf32():
        for device in ("cpu", job.device):
            system = load_system(job.folder / f"runs/{name}_cpu/checkpoints/last.ckpt")
            subtractor = Subtractor(system, device, reference_pool=frames, threshold=0.5)
            masks.append(np.stack([subtractor.push([frame])[0] for frame in frames]))
    return float((masks[0] != masks[1]).mean())


@contextmanager
def without_tf32() -> Iterator[None]:
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def processes(job: Job) -> None:
    """Compare DDP with one process, and a resume on the other device with a training that was not stopped."""
    plain = fit(job, "any_scene", "plain", job.accelerator, steps=2)["weights"]
    by_ddp = fit(job, "any_scene", "ddp", job.accelerator, "--trainer.strategy=ddp", steps=2)["weights"]
    backend = "NCCL" if job.device == "cuda" else "Gloo"
    job.compare("processes", f"DDP by {backend} on one device: weights", distance(by_ddp, plain), DDP_BOUND)
    for first, then in dict.fromkeys((("cpu", job.accelerator), (job.accelerator, "cpu"))):
        run = f"resumed_{first}_{then}"
        fit(job, "any_scene", run, first, steps=1)
        resumed = fit(job, "any_scene", run, then, "--ckpt_path=last", steps=2)["weights"]
        job.compare("processes", f"resumed, {first} to {then}: weights", distance(resumed, plain), RESUME_BOUND)


# --- training --------------------------------------------------------------------------------------------------------


def matmul_peak(job: Job, dtype: torch.dtype, tf32: bool) -> float:
    """Return the operations a second that a large matrix product reaches."""
    side = 256 if job.tiny else 8192
    first, second = (torch.randn(side, side, device=job.device, dtype=dtype) for _ in range(2))
    torch.backends.cuda.matmul.allow_tf32 = tf32
    product = first @ second

    def multiply() -> None:
        torch.mm(first, second, out=product)

    return rate(multiply, job.seconds, job.device) * 2 * side**3


@dataclass(frozen=True)
class Way:
    """A way to train."""

    precision: str
    batch: int
    channels_last: bool = True
    mode: str | None = None

    @property
    def name(self) -> str:
        """What it is called in the table."""
        how = {None: "", "default": ", compiled", "reduce-overhead": ", compiled, CUDA graphs"}[self.mode]
        return f"batch {self.batch}, {self.precision}{', channels last' if self.channels_last else ''}{how}"


WAYS = (
    *(Way(precision, batch) for batch in (1, 4, 16) for precision in ("fp32", "TF32", "bf16")),
    Way("bf16", 4, channels_last=False),
    Way("bf16", 1, mode="reduce-overhead"),
    Way("bf16", 16, mode="default"),
)


def training(job: Job) -> None:
    """Measure training steps of BMN-BSN in several ways."""
    channels, size, references = (4, (32, 24), 2) if job.tiny else (64, (320, 240), 16)
    ways = [Way("fp32", 1), Way("bf16", 2, channels_last=False)] if job.tiny else WAYS
    peaks = {
        "fp32": matmul_peak(job, torch.float32, False),
        "TF32": matmul_peak(job, torch.float32, True),
        "bf16": matmul_peak(job, torch.bfloat16, True),
    }
    for precision, peak in peaks.items():
        job.add("matrix products", precision, f"{peak / 1e12:,.1f} TFLOP/s")
    flops = operations(channels, size, references)
    for way in ways:
        with without_tf32():
            samples, memory = training_rate(job, way, channels, size, references)
        share = samples * flops / peaks[way.precision]
        against = f"{share:.0%} of the matrix products' rate; {memory / 2**30:.1f} GiB"
        job.add("BMN-BSN, training", way.name, f"{samples:,.1f} samples/s", against)


def operations(channels: int, size: tuple[int, int], references: int) -> int:
    """Count the operations of a training step on one sample."""
    with torch.device("meta"):
        system = systems.BmnBsn(references=references, channels=channels)
        past, image = torch.empty(1, references, 3, size[1], size[0]), torch.empty(1, 3, size[1], size[0])
        with FlopCounterMode(display=False) as counter:
            system.network(past, image).sum().backward()
    return counter.get_total_flops()


def training_rate(job: Job, way: Way, channels: int, size: tuple[int, int], references: int) -> tuple[float, int]:
    """Return the training samples a second, and the largest memory in bytes; the samples lie on the device."""
    torch.manual_seed(0)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = way.precision != "fp32"
    network: Any = systems.BmnBsn(references=references, channels=channels).network.to(job.device)
    if not way.channels_last:
        network = network.to(memory_format=torch.contiguous_format)
    if way.mode:
        network = torch.compile(network, mode=None if way.mode == "default" else way.mode)
    optimizer = torch.optim.Adam(network.parameters(), 1e-5, fused=job.device == "cuda")
    past = torch.rand(way.batch, references, 3, size[1], size[0], device=job.device)
    image = torch.rand(way.batch, 3, size[1], size[0], device=job.device)
    classes = torch.randint(0, 2, (way.batch, size[1], size[0]), device=job.device)

    def step() -> None:
        with torch.autocast(job.device, torch.bfloat16, enabled=way.precision == "bf16"):
            logits = network(past, image)
        optimizer.zero_grad()
        masked_cross_entropy(logits.float(), classes).backward()
        optimizer.step()

    if job.device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    for _ in range(1 if job.tiny else 4):
        step()
    synchronize(job.device)
    found = rate(step, job.seconds, job.device) * way.batch
    return found, torch.cuda.max_memory_allocated() if job.device == "cuda" else 0


def loading(job: Job) -> None:
    """Measure what the loader brings of BMN-BSN's samples, from the frame store."""
    scenes = CDnet2014().scenes(job.folder / "scenes")
    store = FrameStore(job.folder / "store")
    fill([SceneFrames(scene, (320, 240), store) for scene in scenes])
    frames = FrameSet.labelled(scenes)
    for workers in (0,) if job.tiny else (0, 2, 4, 8):
        found = loader_rate(cycle_of(loader(frames, store, workers, plain=False)), job.seconds)
        job.add("BMN-BSN, loader", f"{workers} workers", f"{found:,.0f} samples/s")


# --- masks -----------------------------------------------------------------------------------------------------------


def frames_of(job: Job, count: int, size: tuple[int, int] | None = None) -> list[NDArray[np.uint8]]:
    """Return frames of a rendered video, enlarged if a size is given."""
    (video,) = (job.folder / "scenes").glob("baseline/*/")
    frames = [read_image(path) for path, _ in zip(sorted((video / "input").iterdir()), range(count), strict=False)]
    return [cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR) for frame in frames] if size else frames


def full_width() -> dict[str, Callable[[], System]]:
    """Return what makes each system that is timed, at full width, with weights as drawn or as they ship."""
    return {
        "CDN-MEDAL-net": lambda: System("cdn_medal", systems.CdnMedal()),
        "AnyScene": load_system,
        "Fast BSUV-Net 2.0": lambda: System("bsuv_net", systems.BsuvNet()),
        "SeqFeedNet": lambda: System("seqfeednet", systems.SeqFeedNet()),
    }


def streaming(job: Job) -> None:
    """Measure frames a second of streams."""
    sizes = ((64, 48),) if job.tiny else ((320, 240), (1920, 1080))
    chosen = full_width()
    for name in ("CDN-MEDAL-net", "AnyScene") if job.tiny else tuple(chosen):
        for size in sizes:
            frames = frames_of(job, 25, size)
            for batch in (1, 2) if job.tiny else (1, 16):
                if job.device == "cuda":
                    torch.cuda.empty_cache()
                    torch.cuda.reset_peak_memory_stats()
                try:
                    found = frames_per_second(job, chosen[name](), frames, batch)
                except torch.cuda.OutOfMemoryError:
                    job.add("frames", f"{name}, {size[0]}×{size[1]}, {batch} at a time", "out of memory")
                    continue
                memory = torch.cuda.max_memory_allocated() / 2**30 if job.device == "cuda" else 0
                paper = f"paper: {PAPER_FPS}; " if name == "CDN-MEDAL-net" and size == (320, 240) else ""
                what = f"{name}, {size[0]}×{size[1]}, {batch} at a time"
                job.add("frames", what, f"{found:,.1f} frames/s", f"{paper}{memory:.1f} GiB")


def frames_per_second(job: Job, system: System, frames: list[NDArray[np.uint8]], batch: int) -> float:
    subtractor = Subtractor(system, job.device, reference_pool=frames, batch_size=batch, threshold=0.5)
    stream = cycle(frames)
    for _ in range(3):
        subtractor.push([next(stream) for _ in range(batch)])
    return rate(lambda: subtractor.push([next(stream) for _ in range(batch)]), job.seconds, job.device) * batch


def end_to_end(job: Job) -> None:
    """Measure `segment` of a video file, from decoding to masks."""
    count = 30 if job.tiny else 1500
    for size in ((64, 48),) if job.tiny else ((320, 240), (1920, 1080)):
        video = job.folder / f"video_{size[0]}.mp4"
        write_video(video, frames_of(job, 200, size), count)
        seconds = []
        for frames in (count // 3, count):  # the difference leaves out the start
            out = job.folder / f"segmented_{size[0]}_{frames}"
            begin = time.perf_counter()
            run_program(
                *("segment", f"--source={video}", f"--out={out}", f"--device={job.device}", f"--frames={frames}"),
                *("--write=mask_video", "--batch_size=16"),
            )
            seconds.append(time.perf_counter() - begin)
        further = max(1e-9, seconds[1] - seconds[0])
        what = f"AnyScene, {size[0]}×{size[1]}, H.264 to a video of masks"
        job.add("segment, end to end", what, f"{(count - count // 3) / further:,.1f} frames/s")


def write_video(path: Path, frames: list[NDArray[np.uint8]], count: int) -> None:
    """Write a video of so many frames, there and back."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        there_and_back = cycle([*frames, *frames[-2:0:-1]])
        for _ in range(count):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(next(there_and_back), format="rgb24")))
        container.mux(stream.encode())


# --- all of it -------------------------------------------------------------------------------------------------------


PARTS: dict[str, Callable[[Job], None]] = {
    "correctness": correctness,
    "processes": processes,
    "training": training,
    "loading": loading,
    "streaming": streaming,
    "end_to_end": end_to_end,
}


def described(device: str) -> str:
    """Return card, driver and versions in a line."""
    versions = f"torch {torch.__version__}, lightning {lightning.__version__}, Python {platform.python_version()}"
    if device == "cpu":
        return f"CPU, {os.cpu_count()} cores; {versions}"
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        driver = subprocess.run(query, capture_output=True, text=True, check=True).stdout.split()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        driver = "unknown"
    memory = torch.cuda.get_device_properties(0).total_memory / 2**30
    cudnn = torch.backends.cudnn.version()
    return (
        f"{torch.cuda.get_device_name()}, {memory:.0f} GiB, driver {driver}, CUDA {torch.version.cuda}, cuDNN {cudnn}; "
        f"{os.cpu_count()} CPU cores; {versions}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--tiny", action="store_true", help="every part, small")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device: there is no card here. Use --device cpu --tiny.")
    keep_freed_memory()
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        job = Job(options.device, options.tiny, Path(folder))
        list(render_all(job.folder / "scenes", plan(1, ["baseline", "shadow"]), (320, 240), 30, 30, 1))
        for name in options.parts:
            PARTS[name](job)
    rows = [(each.part, each.what, each.value, f"{each.against}{'  FAR' if each.is_far else ''}") for each in job.rows]
    console.print(table_of("The card", ("part", "", "", ""), rows))
    console.print(described(options.device), soft_wrap=True)
    console.print(f"{time.perf_counter() - begin:.0f} s in all.")
    if any(each.is_far for each in job.rows):
        sys.exit(1)


if __name__ == "__main__":
    main()
