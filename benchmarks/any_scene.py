"""Frames per second of AnyScene on one core, beside MOG2, KNN, SuBSENSE and LOBSTER, and where the time goes.

All run in one process on one thread, and take turns frame slice by frame slice, so that what disturbs the machine
disturbs all alike: ratios are what counts. Times are the processor's, which are those of the clock where nothing else
runs on the core. AnyScene watches some hundred frames ahead, so that its background holds as
many samples as it ever does; each of its ways continues from there. OpenCV's and bgslibrary's subtractors are called
directly, AnyScene as users call it, by `Subtractor.push`, frame by frame.

Without `--source` the frames are those of the package's own renderer, which are played forwards and backwards.

    python benchmarks/any_scene.py --source street.mp4
    python benchmarks/any_scene.py --rounds 1 --frames 32 --warm-up 64 --no-ways   # some 20 seconds
    python benchmarks/any_scene.py --soak 20000
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import gc
import importlib.util
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, cast
from unittest import mock

import cv2
import numpy as np
import torch
from measure import interleaved, table_of
from numpy.typing import NDArray
from rich.table import Table
from soak import memory

from bgsub_lightning.backgrounds.samples import SampleBackground
from bgsub_lightning.core.console import console
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.memory import keep_freed_memory
from bgsub_lightning.inference import SHIPPED, Subtractor, System, load_system, open_source
from bgsub_lightning.inference.onnx import export_system, load_onnx
from bgsub_lightning.inference.quantised import quantise
from bgsub_lightning.synthetic import CATEGORIES, VideoPlan, render_video
from bgsub_lightning.systems.any_scene import AnySceneNetwork, AnySceneSystem, Rules, SceneStream
from bgsub_lightning.systems.any_scene.alignment import Alignment
from bgsub_lightning.systems.any_scene.relighting import Relighting
from bgsub_lightning.systems.baselines import BgsLibrarySubtractorSystem, ClassicalSubtractorSystem
from bgsub_lightning.systems.baselines.classical import StreamingSystem

Image = NDArray[np.uint8]

SIZE, LARGE = (320, 240), (1920, 1080)
SMALL = {"work_height": 96, "largest": 160}
"""Rules by which frames of 320×240 are worked on at 128×96."""
FEW = 24  # large frames in memory


@dataclass
class Footage:
    """Frames in memory, played forwards and backwards without an end."""

    frames: list[Image]

    def __getitem__(self, place: int) -> Image:
        last = len(self.frames) - 1
        return self.frames[last - abs(last - place % max(1, 2 * last))]


def scaled(frame: Image, size: tuple[int, int]) -> Image:
    if frame.shape[1::-1] == size:
        return frame
    how = cv2.INTER_AREA if size[0] < frame.shape[1] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(frame, size, interpolation=how), np.uint8)


def footage_of(source: str | None, category: str, count: int) -> tuple[Footage, Footage]:
    """Return the first frames of a source, or of a video that is rendered, at the small size; and some at the large."""
    with tempfile.TemporaryDirectory() as folder:
        if source is None:
            render_video(VideoPlan(category, 0), Path(folder) / "video", size=SIZE, unlabelled=1, labelled=count)
            source = str(Path(folder) / "video" / "input")
        small: list[Image] = []
        large: list[Image] = []
        for frame in islice(open_source(source), count):
            small.append(scaled(frame.image, SIZE))
            if len(large) < FEW:
                large.append(scaled(frame.image, LARGE))
    return Footage(small), Footage(large)


@dataclass
class Warm:
    """A system and the state of the scene after the frames ahead; the measurement continues from there.

    Attributes:
        system: The system.
        footage: The frames.
        begin: Number of frames ahead.
        state: What the system keeps of the scene then.
    """

    system: System
    footage: Footage
    begin: int
    state: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        first = self.fresh()
        for place in range(self.begin):
            first.push([self.footage[place]])
        assert isinstance(first.context, SceneStream)
        self.state = first.context.state_dict()

    def fresh(self, **options: Any) -> Subtractor:
        """Return a subtractor that has seen nothing."""
        module = copy.deepcopy(self.system.module)  # whose networks may be compiled or replaced
        return Subtractor(replace(self.system, module=module), "cpu", threshold=0.5, **options)

    def subtractor(
        self,
        system: System | None = None,
        rules: Rules | None = None,
        footage: Footage | None = None,
        **options: Any,
    ) -> Subtractor:
        """Return a subtractor that has seen the frames ahead, in whichever way it runs.

        Args:
            system: The same system in another form, which is used for nothing else.
            rules: Other rules.
            footage: The same frames at another size, which come next.
            **options: Of the subtractor.
        """
        made = Subtractor(system, "cpu", threshold=0.5) if system else self.fresh(**options)
        module = any_scene(made)
        module.rules = rules or any_scene_of(self.system).rules
        for _ in range(3):  # compiles, allocates; and opens the stream
            made.push([(footage or self.footage)[0]])
        assert isinstance(made.context, SceneStream)
        made.context.load_state_dict(self.state)
        return made


def any_scene(subtractor: Subtractor) -> AnySceneSystem:
    return any_scene_of(subtractor.system)


def any_scene_of(system: System) -> AnySceneSystem:
    if not isinstance(system.module, AnySceneSystem):
        raise UserError(f"--checkpoint: must be of AnyScene, not of {system.module.kind}.")
    return system.module


def worked_on(system: System, rules: Rules) -> System:
    """Return the system under other rules."""
    module = copy.deepcopy(any_scene_of(system))
    module.rules = rules
    return replace(system, module=module)


class Way:
    """A way to subtract. It continues through the frames slice by slice, and keeps its masks."""

    def __init__(self, apply: Callable[[Image], Image], footage: Footage, place: int, count: int) -> None:
        self.apply, self.footage, self.place, self.count = apply, footage, place, count
        self.masks: list[Image] = []

    def __call__(self) -> float:
        """Take the next slice, and return the frames per second."""
        frames = [self.footage[self.place + i] for i in range(self.count)]
        begin = time.process_time()
        self.masks += [self.apply(frame) for frame in frames]
        spent = time.process_time() - begin
        self.place += self.count
        return self.count / spent


def library(module: StreamingSystem, warm: Warm) -> Callable[[Image], Image]:
    """Return what applies a subtractor of a library that has seen the frames ahead."""
    context = module.begin_scene({})
    module.masks(context, warm.footage[0][None])

    def apply(frame: Image) -> Image:
        return context.subtractor.apply(np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), np.uint8))

    for place in range(1, warm.begin):
        apply(warm.footage[place])
    return apply


def quantised(warm: Warm, path: Path, samples: int = 64) -> System:
    """Return the system with its network in 8 bits, whose ranges are those of frames ahead."""
    export_system(warm.system, path)
    quantise(path, [warm.footage[place] for place in range(warm.begin, warm.begin + samples)])
    return load_onnx(path)


def ways(warm: Warm, count: int, with_ways: bool, folder: Path) -> tuple[dict[str, Way], list[str]]:
    """Return all ways, and remarks on those that this machine does not have."""
    remarks = []
    found = {name: library(ClassicalSubtractorSystem(name), warm) for name in ("MOG2", "KNN")}
    for name in ("SuBSENSE", "LOBSTER"):
        try:
            found[name] = library(BgsLibrarySubtractorSystem(name), warm)
        except UserError as error:
            remarks.append(f"{name}: left out. {error}")

    found["AnyScene"] = pushed(warm.subtractor())
    if with_ways:
        rules = any_scene_of(warm.system).rules
        for rule in ("aligning", "relighting"):
            found[f"  without {rule}"] = pushed(warm.subtractor(rules=replace(rules, **{rule: False})))
        small = Warm(worked_on(warm.system, replace(rules, **SMALL)), warm.footage, warm.begin)
        found["  128×96"] = pushed(small.subtractor())
        try:
            found["  compiled"] = pushed(warm.subtractor(compiled=True))
        except UserError as error:
            remarks.append(f"compiled: left out. {error}")
        if all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime", "onnxscript")):
            exported = folder / "system.onnx"
            export_system(warm.system, exported)
            found["  ONNX Runtime"] = pushed(warm.subtractor(load_onnx(exported)))
            found["  ONNX Runtime, int8"] = pushed(warm.subtractor(quantised(warm, folder / "int8.onnx")))
            found["  128×96, ONNX Runtime"] = pushed(small.subtractor(load_onnx(exported)))
            found["  128×96, int8"] = pushed(small.subtractor(quantised(small, folder / "small.onnx")))
        else:
            remarks.append("ONNX Runtime: left out. pip install 'bgsub_lightning[onnx]'")
    return {name: Way(apply, warm.footage, warm.begin, count) for name, apply in found.items()}, remarks


def pushed(subtractor: Subtractor) -> Callable[[Image], Image]:
    return lambda frame: subtractor.push([frame])[0]


def of_ways(rates: dict[str, float], made: dict[str, Way]) -> Table:
    """Frames per second, and how far the masks are those of AnyScene as it is."""
    bases = [base for base in ("SuBSENSE", "MOG2") if base in rates]
    own = np.stack(made["AnyScene"].masks) > 0
    rows = []
    for name, rate in rates.items():
        times = [f"{rate / rates[base]:.2f}" for base in bases]
        agreement = ["", ""]
        if name.startswith("  "):
            masks = np.stack(made[name].masks) > 0
            union = int((masks | own).sum())
            agreement = [f"{(masks == own).mean():.3%}", f"{(masks & own).sum() / union:.3f}" if union else "–"]
        rows.append([name, f"{rate:,.1f}", f"{1000 / rate:.2f}", *times, *agreement])
    headings = ["", "per second", "ms", *(f"times {base}" for base in bases), "equal pixels", "IoU of masks"]
    return table_of(f"Frames of {SIZE[0]}×{SIZE[1]}, and masks against AnyScene's own", headings, rows)


PARTS: tuple[tuple[str, type, str], ...] = (
    ("work size", SceneStream, "_at_work_size"),
    ("relighting", Relighting, "__call__"),
    ("alignment", Alignment, "shift"),
    ("comparison with the banks", SampleBackground, "compare"),
    ("see", SceneStream, "see"),
    ("network", AnySceneNetwork, "forward"),
    ("update of the background", SceneStream, "learn"),
)
"""Parts that are timed, from the inside to the outside; "see" holds the first four."""


@contextlib.contextmanager
def timed(spent: dict[str, float]) -> Iterator[None]:
    """Add up the seconds that each part takes."""

    def watching(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **options: Any) -> Any:
            begin = time.process_time()
            try:
                return method(*args, **options)
            finally:
                spent[name] += time.process_time() - begin

        return watched

    with contextlib.ExitStack() as patches:
        for name, owner, method in PARTS:
            patches.enter_context(mock.patch.object(owner, method, watching(name, getattr(owner, method))))
        yield


def of_parts(warm: Warm, count: int) -> Table:
    """Milliseconds of each part, on frames that the background samples and on others."""
    subtractor = warm.subtractor()
    found: dict[bool, list[dict[str, float]]] = {True: [], False: []}
    for place in range(max(count, 2 * 16)):
        background = cast("SceneStream", subtractor.context).background
        sampled = background is None or background.is_due
        spent = dict.fromkeys((name for name, _, _ in PARTS), 0.0)
        with timed(spent):
            begin = time.process_time()
            subtractor.push([warm.footage[warm.begin + place]])
            whole = time.process_time() - begin
        see = spent.pop("see")
        network, update = spent.pop("network"), spent.pop("update of the background")
        spent["planes"] = see - sum(spent.values())
        spent |= {"network": network, "update of the background": update}
        spent["around: tensors, masks"] = whole - see - network - update
        found[sampled].append(spent | {"whole": whole})
    medians = {
        sampled: {name: 1000 * statistics.median(each[name] for each in frames) for name in frames[0]}
        for sampled, frames in found.items()
        if frames
    }
    other, own = medians[False], medians.get(True, medians[False])

    def row(name: str, one: float, two: float) -> list[str]:
        return [name, f"{one:.2f}", f"{one / other['whole']:.0%}", f"{two:.2f}"]

    rows = [row(name, other[name], own[name]) for name in other if name != "whole"]
    rows.append(row("sum of the medians", *(sum(each.values()) - each["whole"] for each in (other, own))))
    rows.append(row("whole", other["whole"], own["whole"]))
    return table_of("Parts of AnyScene in ms", ["", "a frame", "share", "a sampled frame"], rows)


def of_longest(warm: Warm, count: int, rounds: int) -> Table:
    """The longest frame against the median; each is the best of several passes, so that it is its own work."""
    cases: tuple[tuple[str, Callable[[], Subtractor], int], ...] = (
        ("from the start", warm.fresh, 0),
        ("steady state", warm.subtractor, warm.begin),
    )
    rows = []
    for name, make, begin in cases:
        passes = []
        for _ in range(rounds):
            subtractor, seconds = make(), []
            gc.collect()
            for place in range(begin, begin + count):
                frame, start = [warm.footage[place]], time.process_time()
                subtractor.push(frame)
                seconds.append(time.process_time() - start)
            passes.append(seconds)
        best = 1000 * np.min(passes, 0)
        median, most, longest = (float(np.quantile(best, level)) for level in (0.5, 0.99, 1))
        which = str(best.argmax() + 1)
        rows.append([name, f"{median:.2f}", f"{most:.2f}", f"{longest:.2f}", f"{longest / median:.2f}", which])
    headings = ["", "median", "99 %", "longest", "longest : median", "which"]
    return table_of(f"{count} frames one by one in ms, each the best of {rounds}", headings, rows)


def of_large(large: Footage, warm_up: int, system: System, count: int, rounds: int) -> Table:
    """Frames per second where frames are larger than what is worked on."""
    height, width = SceneStream(any_scene_of(system).rules).see(large[0]).frame.shape[1:]
    small = Footage([scaled(frame, (width, height)) for frame in large.frames])
    warm = Warm(system, small, warm_up)
    base = f"{width}×{height}"
    made: dict[str, Callable[[], float]] = {
        name: Way(pushed(warm.subtractor(footage=footage)), footage, warm_up, count)
        for name, footage in ((f"{LARGE[0]}×{LARGE[1]}", large), (base, small))
    }
    rates = interleaved(made, rounds)
    rows = [[name, f"{rate:,.1f}", f"{1000 / rate:.2f}", f"{rate / rates[base]:.2f}"] for name, rate in rates.items()]
    return table_of(f"Frames that are worked on at {base}", ["given at", "per second", "ms", f"times {base}"], rows)


def of_soak(warm: Warm, count: int) -> Table:
    """Memory over a long stream under a light that flickers, and whether all answers are finite."""
    subtractor, generator = warm.fresh(), np.random.default_rng(0)
    found: list[tuple[str, float, float]] = []
    finite, tenth = True, max(1, count // 10)
    begin = time.process_time()
    for place in range(count):
        gain, offset = generator.uniform(0.9, 1.1), generator.uniform(-6, 6)
        frame = np.clip(warm.footage[place] * np.float32(gain) + np.float32(offset), 0, 255).astype(np.uint8)
        answer = subtractor.probability([frame])
        finite &= bool(np.isfinite(answer).all() and answer.min() >= 0 and answer.max() <= 1)
        if place + 1 == tenth or place + 1 == count:
            gc.collect()
            found.append((f"{place + 1:,}", memory(), (place + 1) / (time.process_time() - begin)))
    rows = [[name, f"{held:.0f}", f"{held / found[0][1]:.3f}", f"{rate:.1f}"] for name, held, rate in found]
    title = f"A long stream; its answers are {'all finite' if finite else 'NOT all finite'}"
    return table_of(title, ["frames", "MiB", "times the first", "per second"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", help="a video or a folder of images; default: rendered frames")
    parser.add_argument("--category", choices=CATEGORIES, default="baseline", help="of the rendered frames")
    parser.add_argument("--checkpoint", default=SHIPPED, help="of AnyScene; default: the weights of the package")
    parser.add_argument("--frames", type=int, default=240, help="that each way is measured on")
    parser.add_argument("--warm-up", type=int, default=352, help="frames ahead, until the samples span their longest")
    parser.add_argument("--series", type=int, default=300, help="frames among which the longest is looked for")
    parser.add_argument("--rounds", type=int, default=5, help="slices of the frames, in turn; the median counts")
    parser.add_argument("--no-ways", action="store_true", help="leave out what compiles, exports, or changes the rules")
    parser.add_argument("--soak", type=int, default=0, metavar="N", help="watch the memory over so many frames as well")
    options = parser.parse_args()
    one_thread()
    keep_freed_memory()
    small, large = footage_of(options.source, options.category, min(240, options.frames + options.warm_up))
    system = load_system(options.checkpoint)
    count = max(1, options.frames // options.rounds)
    console.print(
        f"{options.rounds} × {count} frames after {options.warm_up}, {options.source or options.category}, "
        f"{options.checkpoint}; one thread, {platform.machine()}, torch {torch.__version__}, OpenCV "
        f"{cv2.__version__}, Python {platform.python_version()}"
    )
    warm = Warm(system, small, options.warm_up)
    with tempfile.TemporaryDirectory() as folder:
        made, remarks = ways(warm, count, not options.no_ways, Path(folder))
        rates = interleaved(dict(made), options.rounds)
    console.print(of_ways(rates, made))
    for remark in remarks:
        console.print(remark)
    console.print(of_parts(warm, options.frames))
    console.print(of_longest(warm, min(options.series, 2 * options.frames), min(options.rounds, 3)))
    console.print(of_large(large, options.warm_up, system, count, options.rounds))
    if options.soak:
        console.print(of_soak(warm, options.soak))


def one_thread() -> None:
    """Leave the process one core, where the system allows it, so that no library's own threads gain anything."""
    torch.set_num_threads(1)  # ONNX Runtime is given as many
    cv2.setNumThreads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


if __name__ == "__main__":
    main()
