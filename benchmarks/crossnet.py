"""Speed of CrossNet's forward pass: ratios in one run.

Memory format and compilation, against PyTorch's defaults, for the network as it is trained and tested.

    python benchmarks/crossnet.py                   # an eighth of the width, on a CPU
    python benchmarks/crossnet.py --device cuda --width 64    # the paper's; frames per second too, with the card's name

Where `torch.compile` finds no compiler, compilation is left out with a note.
"""

from __future__ import annotations

import argparse
import platform
import warnings
from collections.abc import Callable

import torch
from measure import interleaved, rate, show, synchronize
from torch import Tensor

from bgsub_lightning.core.console import console
from bgsub_lightning.core.memory import keep_freed_memory
from bgsub_lightning.systems.crossnet.network import CrossNetNetwork

PAPER = 5.33  # frames per second on two GTX 2080 Ti, optical flow included (section IV-F)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--width", type=int, default=8, help="channels of the first layer; 64 is the paper's")
    parser.add_argument("--batch", type=int, default=4, help="frames at once")
    parser.add_argument("--seconds", type=float, default=4, help="length of each measurement")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each way, in turn")
    options = parser.parse_args()
    keep_freed_memory()
    device, seconds = options.device, options.seconds
    card = torch.cuda.get_device_name() if device != "cpu" else f"CPU ({platform.machine()})"
    console.print(f"{card}, {torch.get_num_threads()} threads, torch {torch.__version__}, batches of {options.batch}")
    torch.manual_seed(0)
    plain = CrossNetNetwork(width=options.width).to(device).eval()
    last = CrossNetNetwork(width=options.width).to(device, memory_format=torch.channels_last).eval()
    last.load_state_dict(plain.state_dict())
    image, flow = (torch.rand(options.batch, 3, 256, 256, device=device) * 2 - 1 for _ in range(2))
    ways: dict[str, Callable[[], float]] = {}
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")

        def measure(forward: Callable[[Tensor, Tensor], Tensor], format: torch.memory_format) -> Callable[[], float]:
            given = [x.contiguous(memory_format=format) for x in (image, flow)]
            return lambda: rate(lambda: forward(*given), seconds, device) * options.batch

        expected = plain(image, flow)
        for name, network, format in (
            ("plain", plain, torch.contiguous_format),
            ("channels last", last, torch.channels_last),
        ):
            ways[name] = measure(network, format)
            compiled = torch.compile(network)
            try:
                result = compiled(image.contiguous(memory_format=format), flow.contiguous(memory_format=format))
                synchronize(device)
            except Exception as error:  # whatever the machine's compiler lacks
                reason = str(error).splitlines()[0]
                console.print(f"{name}, compiled: left out ({type(error).__name__}: {reason})", soft_wrap=True)
                continue
            torch.testing.assert_close(result, expected, rtol=1e-2, atol=1e-3)
            ways[f"{name}, compiled"] = measure(compiled, format)
        rates = interleaved(ways, options.rounds)
    unit = "frames/s" if device != "cpu" else None  # absolute figures only where the card can be named
    if unit and options.width == 64:
        rates["paper (two GTX 2080 Ti, with flow)"] = PAPER
    show(f"Forward pass of CrossNet, width {options.width}, 256×256", rates, "plain", unit)


if __name__ == "__main__":
    main()
