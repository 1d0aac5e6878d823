"""Tiny systems with random weights, as checkpoints, and videos from arrays."""

from __future__ import annotations

import socket
import threading
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from tiny_training import module_of, trainer

from bgsub_lightning import systems
from bgsub_lightning.core.run_info import model_config
from bgsub_lightning.data import EmptyBackground, References, ScenesDataModule
from bgsub_lightning.frames import SceneFrames
from bgsub_lightning.inference import System
from bgsub_lightning.inference.system import build
from bgsub_lightning.splits import Subset
from bgsub_lightning.systems import BgsModule

TINY: dict[str, dict[str, Any]] = {
    "AeNe": {
        "background": {"class_path": "AutoencoderBackground", "init_args": {"size": [32, 24], "width": 4}},
        "noise": 0.0,
    },
    "AnyScene": {"widths": [2, 3, 4, 5]},
    "BmnBsn": {"references": 3, "maps": 2, "channels": 2, "depth": 2},
    "BsuvNet": {"width": 1, "history": 5},
    "CdnMedal": {},
    "CrossNet": {"taus": [1, 3], "width": 1},
    "FgSegNet": {"width": 4},
    "FrameFcn": {"mcfcn_width": 1, "size": 33},
    "ReconMcfcn": {"bottleneck": 4, "width": 1, "mcfcn_width": 1, "size": 33},
    "SeqFeedNet": {"width": 2, "history": 5},
    "Siamese": {"width": 2, "channels": 2, "depth": 2},
}
SIZES = {"CrossNet": (256, 256)}
"""Sizes of input other than the frames' own."""


def described(name: str, **settings: Any) -> dict[str, Any]:
    config = {
        "model": {"class_path": f"bgsub_lightning.systems.{name}", "init_args": TINY.get(name, {}) | settings},
        "data": {"init_args": {"size": list(SIZES[name]) if name in SIZES else None}},
    }
    return dict(yaml.safe_load(model_config(config)))


def tiny_system(name: str, **settings: Any) -> System:
    """A system whose weights depend on nothing but its name."""
    torch.manual_seed(len(name))
    system = build(described(name, **settings), Path(f"{name}.ckpt"))
    with torch.no_grad():  # answers that are neither all foreground nor all background
        for parameter in system.module.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    assert isinstance(system.module, getattr(systems, f"{name}System"))
    return system


def with_trainer(system: System) -> BgsModule:
    """The same system as a LightningModule."""
    module = module_of(yaml.safe_load(system.model_config)["model"])
    module.load_state_dict(system.module.state_dict())
    return module


def save(system: System, path: Path) -> Path:
    """Write what `fit` would write of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "state_dict": system.module.state_dict(),
        "hyper_parameters": dict(system.module.hparams),
        "system": system.model_config,
    }
    system.module.on_save_checkpoint(content)
    torch.save(content, path)
    return path


def moving_square(count: int, size: tuple[int, int] = (32, 24), seed: int = 0) -> list[NDArray[np.uint8]]:
    """RGB frames of a textured background, across which a bright square moves."""
    generator = np.random.default_rng(seed)
    background = generator.integers(40, 120, (size[1], size[0], 3), np.uint8)
    frames = []
    for i in range(count):
        frame = background + generator.integers(0, 6, background.shape, np.uint8)
        x = 2 * i % (size[0] - 8)
        frame[8:16, x : x + 8] = (230, 200, 60)
        frames.append(frame)
    return frames


def write_video(
    path: Path, frames: list[NDArray[np.uint8]], codec: str = "ffv1", pix_fmt: str = "bgr0", times: Any = None
) -> Path:
    """Write RGB or grey frames, at 25 a second or at times of one's own in ms."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pix_fmt
        if times is not None:
            stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        for i, frame in enumerate(frames):
            shown = av.VideoFrame.from_ndarray(frame, format="rgb24" if frame.ndim == 3 else "gray")
            if times is not None:
                shown.pts, shown.time_base = times[i], Fraction(1, 1000)
            container.mux(stream.encode(shown))
        container.mux(stream.encode(None))
    return path


def serving(content: bytes, times: int, port: int = 0) -> tuple[str, threading.Thread]:
    """Send the same to so many callers, one after the other, then be gone."""
    server = socket.create_server(("127.0.0.1", port))
    server.settimeout(60)

    def serve() -> None:
        with server:
            for _ in range(times):
                caller, _ = server.accept()
                with caller:
                    caller.sendall(content)

    thread = threading.Thread(target=serve)
    thread.start()
    return f"tcp://127.0.0.1:{server.getsockname()[1]}", thread


def predicted(system: System, root: Path, folder: Path) -> dict[int, NDArray[np.float32]]:
    """Answers of `predict` for the labelled part of the one scene."""
    data = ScenesDataModule(
        *(system.module.inputs, Subset([], ["*/*"]), root),
        size=system.size, num_workers=0, eval_batch_size=2, flow=system.flow, plan=system.module.plan,
    )  # fmt: skip
    found = trainer(folder).predict(with_trainer(system), data)
    batches = list(data.predict_dataloader())
    numbers = torch.cat([batch["number"] for batch in batches]).tolist()
    wanted = torch.cat([batch["is_scored"] for batch in batches]).tolist()
    each = zip(numbers, torch.cat(found).numpy(), wanted, strict=True)
    return {number: probability for number, probability, is_wanted in each if is_wanted}


def pool_of(system: System, root: Path) -> list[NDArray[np.uint8]]:
    """The background frames that make a subtractor see what `predict` sees."""
    data = ScenesDataModule(system.module.inputs, Subset([], ["*/*"]), root, size=None, num_workers=0)
    (scene,) = data.split.test_scenes
    pixels = SceneFrames(scene, None)
    if any(isinstance(entry, EmptyBackground) for entry in system.module.inputs):
        return [pixels.image(number) for number in scene.references]
    references = next((entry for entry in system.module.inputs if isinstance(entry, References)), None)
    if references is None:
        return []
    pool = [np.full((*scene.size[::-1], 3), i, np.uint8) for i in range(3)]
    ours = [int(image.flat[0]) for image in references.of_pool(pool)[0]]  # which of the pool it draws
    theirs = references.scene(pixels, 0)[0]
    return [theirs[ours.index(i)] for i in range(3)]
