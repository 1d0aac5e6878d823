"""Speed of the siamese system: features of the base image kept, against computed for each batch; ratios in one run.

The answers of both ways are checked to be the same, bit for bit.

    python benchmarks/siamese.py                              # an eighth of the width, on a CPU
    python benchmarks/siamese.py --device cuda --width 64     # the paper's; frames per second too, with the card's name
"""

from __future__ import annotations

import argparse
import platform

import torch
from measure import interleaved, rate, show

from bgsub_lightning.core.console import console
from bgsub_lightning.core.memory import keep_freed_memory
from bgsub_lightning.systems.siamese import Siamese


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--width", type=int, default=8, help="channels of the first layers; 64 is the paper's")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8], help="frames at once")
    parser.add_argument("--seconds", type=float, default=4, help="length of each measurement")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each way, in turn")
    options = parser.parse_args()
    keep_freed_memory()
    device = options.device
    card = torch.cuda.get_device_name() if device != "cpu" else f"CPU ({platform.machine()})"
    console.print(f"{card}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    torch.manual_seed(0)
    system = Siamese(width=options.width, channels=options.width).to(device).eval()
    unit = "frames/s" if device != "cpu" else None  # absolute figures only where the card can be named
    with torch.inference_mode():
        base = torch.rand(1, 3, 240, 320, device=device)
        for size in options.batches:
            image = torch.rand(size, 3, 240, 320, device=device)
            batch, context = {"image": image}, system.begin_scene({"base_image": base})
            ways = {
                "features of the base image kept": lambda batch=batch, context=context: rate(
                    lambda: system.probability(context, batch), options.seconds, device
                ),
                "computed for each batch": lambda batch=batch: rate(
                    lambda: system.probability(system.begin_scene({"base_image": base}), batch), options.seconds, device
                ),
            }
            rates = {name: value * size for name, value in interleaved(ways, options.rounds).items()}
            title = f"Frames of 320×240 in batches of {size}, width {options.width}"
            show(title, rates, "computed for each batch", unit)


if __name__ == "__main__":
    main()
