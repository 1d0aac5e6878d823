"""Pretrained weights from a file or a URL, and whether such a file is whole: the only place where networks read files.

Files are read without executing what code they may hold.
"""

from __future__ import annotations

import hashlib
import pickle
import re
import struct
import zipfile
import zlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, cast
from urllib.parse import urlsplit
from urllib.request import url2pathname

import torch
from pydantic import Field
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint
from typing_extensions import TypedDict

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.fetching import digest_of, fetch
from bgsub_lightning.core.files import atomic_write
from bgsub_lightning.core.records import fit_record
from bgsub_lightning.core.text import join_some
from bgsub_lightning.systems.vgg import VGG_LAYERS, Vgg

FirstLayer = Literal["normal", "frame"]
"""How 3 pretrained input channels become 6: a new layer, or theirs for the frame and zeros for the background."""

_TORCHVISION = zip((0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28), VGG_LAYERS, strict=False)
_LAYER_OF = {str(index): layer for index, layer in _TORCHVISION} | {layer: layer for layer in VGG_LAYERS}
_TORCHVISION_KEY = re.compile(r"(?:^|\.)features\.(\d+)\.(weight|bias)$")
_DEEPLAB_KEY = re.compile(rf"(?:^|\.)({'|'.join(VGG_LAYERS)})\.(weight|bias)$")
_NAMES = (
    "Expected the names of torchvision's vgg16 (features.0.weight …, without batch normalisation) or DeepLab's "
    "(conv1_1.weight …)."
)
_LARGEST = 4 << 30  # bytes of a download; VGG-16 has 0.5


@dataclass(frozen=True)
class LoadReport:
    """Use of a file's weights."""

    source: str
    """The file or URL."""
    loaded: tuple[str, ...]
    """The network's layers that have the file's weights."""
    drawn: tuple[str, ...]
    """The network's layers that were newly drawn."""
    unused: tuple[str, ...]
    """The file's keys that were not used."""
    zeros: bool = False
    """Whether the first layer has zeros for all channels but the frame's."""

    def __str__(self) -> str:
        zeros = " (conv1_1: zeros for all channels but the frame's)" if self.zeros else ""
        return (
            f"Weights of {self.source}\n"
            f"  loaded: {_names(self.loaded)}{zeros}\n"
            f"  newly drawn: {_names(self.drawn)}\n"
            f"  not used: {_names(self.unused)}"
        )


def load_vgg(
    network: Vgg, source: str | Path, sha256: str | None = None, first_layer: FirstLayer = "normal"
) -> LoadReport:
    """Load the weights of a VGG-16, plain or DeepLab's, into a network; its other layers are newly drawn.

    Files have the names of torchvision or of DeepLab, with any prefix. They must hold all convolutions that the network
    has, the first ten or thirteen; fc6 and fc7 may be absent. What the network has not, as torchvision's fully
    connected layers, and fc8 are not used. A network whose input has the channels of the file gets its first layer.

    The file does not say what input it was made for: torchvision's weights take RGB in [0, 1], less the mean of
    ImageNet, by its deviation; those from Caffe, as DeepLab's, take BGR in [0, 255] less the mean.

    Args:
        network: What to load them into. An error leaves it as it was.
        source: File or URL, as in :func:`load_state_dict`.
        sha256: As in :func:`load_state_dict`.
        first_layer: Where the network has more channels than the file's 3: ``normal`` draws the layer from N(0, 0.01²)
            (section 3.3); ``frame`` gives them to the first 3 channels, and zeros to the others.

    Raises:
        UserError: As :func:`load_state_dict` does; or the file holds no VGG-16 that is whole as far as the network
            needs it, or one of other widths.
    """
    weights = load_state_dict(source, sha256)
    parameters = dict(network.named_parameters())
    layers = [name.removesuffix(".weight") for name in parameters if name.endswith(".weight")]
    keys = _keys_of_parameters(weights, source, layers)
    own, first = parameters["conv1_1.weight"], weights[keys["conv1_1.weight"]]
    widen = own.shape[1] > 3 and first.shape == own[:, :3].shape
    if widen and first_layer == "normal":
        del keys["conv1_1.weight"], keys["conv1_1.bias"]
    for name, key in keys.items():
        there, here = tuple(weights[key].shape), tuple(parameters[name].shape)
        if there != here and not (widen and name == "conv1_1.weight"):
            raise UserError(
                f"{source}: {key} has the shape {there}, but the network's {name} has {here}. Give the weights of a "
                "VGG-16 of the network's width, in which fc6 and fc7, if there, are convolutions as DeepLab-LargeFOV's."
            )
    network.initialise(from_scratch=False)
    with torch.no_grad():
        for name, key in keys.items():
            if widen and name == "conv1_1.weight":
                own.zero_()[:, :3].copy_(weights[key])
            else:
                parameters[name].copy_(weights[key])
    return LoadReport(
        source=str(source),
        loaded=tuple(layer for layer in layers if f"{layer}.weight" in keys),
        drawn=tuple(layer for layer in layers if f"{layer}.weight" not in keys),
        unused=tuple(sorted(set(weights) - set(keys.values()))),
        zeros=widen and first_layer == "frame",
    )


def load_state_dict(source: str | Path, sha256: str | None = None) -> dict[str, Tensor]:
    """Read a state dict, on the CPU.

    Args:
        source: File of ``torch.save``, or its URL (``https://``, ``http://``, ``file://``). What is downloaded is kept
            in ``checkpoints`` of ``torch.hub.get_dir()`` (``TORCH_HOME`` moves it) under a separate name per URL.
        sha256: Expected digest of the file, 64 hexadecimal digits; without it the file is not checked. A download of
            another digest is repeated.

    Returns:
        The tensors of the file's dict, or of ``state_dict`` in it, by their names without ``module.`` in front.

    Raises:
        UserError: There is no such file, it cannot be downloaded, has another digest, is cut off or no file of
            ``torch.save``, holds Python objects that only code could restore, or holds no tensors by name.
    """
    path = _local(str(source), sha256)
    if what := _inflated(path):
        raise UserError(f"{source}: {what}. It was not read. Get it from another place.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # files that are no whole file of torch.save raise whatever their bytes lead to
        culprit = re.search(r"GLOBAL (\S+)", str(error))
        if culprit:
            raise UserError(
                f"{source}: must hold tensors alone; got a Python object, {culprit[1]}. It was not loaded, because "
                "that could run any code. If you trust it, save its tensors with torch.save(network.state_dict(), …)."
            ) from error
        raise UserError(
            f"{source}: is not a whole file of torch.save, which alone can be read; nothing in it was executed. It may "
            f"be cut off, a web page, or of another format; it has {path.stat().st_size:,} bytes"
            + (f" ({error})" if isinstance(error, OSError) else "")
            + (f". Delete {path}, and get it again." if _is_remote(str(source)) else ". Get it again.")
        ) from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping):
        raise UserError(f"{source}: holds a {type(content).__name__}; expected a state dict, tensors by their names.")
    tensors = {str(key).removeprefix("module."): value for key, value in content.items() if isinstance(value, Tensor)}
    if not tensors:
        raise UserError(
            f"{source}: holds no tensors by their names, nor does a state_dict in it; its keys: "
            f"{join_some(list(content))}."
        )
    for name, value in tensors.items():
        _require_finite(value, f"{source}: {name}", "Get it again, or name another file.")
    return tensors


def damage(path: Path) -> str | None:
    """Say what is wrong with a checkpoint, all of whose bytes are read; ``None`` if it is whole.

    torch.save writes an archive that holds a checksum for each tensor, which torch.load does not look at.
    """
    try:
        if path.stat().st_size == 0:
            return "it is empty"
        with zipfile.ZipFile(path) as archive:
            if not any(name.endswith("data.pkl") for name in archive.namelist()):
                return "torch.save did not write it"
            if what := _inflated(path):
                return what
            if spoilt := archive.testzip():
                return f"wrong checksum of {spoilt}"
        if unsafe := get_unsafe_globals_in_checkpoint(path):  # torch's own reader opens it, and nothing is built
            return f"it holds {sorted(unsafe)[0]}, a Python object that could run code"
    except pickle.UnpicklingError:
        return "it holds Python objects that only code could restore"
    except (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error, struct.error) as error:
        return str(error).partition("\n")[0]
    return None


def _inflated(path: Path) -> str | None:
    """Say if an archive declares more bytes than its file has: torch.save compresses nothing."""
    try:
        with zipfile.ZipFile(path) as archive:
            declared = sum(entry.file_size for entry in archive.infolist())
    except zipfile.BadZipFile:
        return None
    size = path.stat().st_size
    return f"it declares {declared:,} bytes in a file of {size:,}" if declared > size else None


class _Validated(TypedDict):
    threshold: Annotated[float, Field(ge=0, le=1)]
    f_measure: Annotated[float, Field(ge=0, le=1)]
    kind: str


class _Checkpoint(TypedDict, total=False):
    """Keys of a checkpoint; Lightning and callbacks add others."""

    state_dict: dict[str, Any]
    system: str
    module: str
    trained_on: dict[str, list[list[int]]]
    validated: _Validated | None
    hyper_parameters: dict[str, Any]
    epoch: Annotated[int, Field(ge=0)]
    global_step: Annotated[int, Field(ge=0)]
    optimizer_states: list[dict[str, Any]]
    lr_schedulers: list[dict[str, Any]]
    loops: dict[str, Any]
    callbacks: dict[str, Any]


def require_finite(weights: Mapping[str, Tensor]) -> None:
    """Check weights that are about to be saved.

    Raises:
        UserError: If some are infinite or no numbers. It names the first.
    """
    for name, value in weights.items():
        if isinstance(value, Tensor) and value.is_floating_point() and value.layout is torch.strided:
            fix = "The training has diverged, and checkpoints of before are kept: lower the learning rate."
            _require_finite(value, f"train/loss: weights of {name}", fix)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU; nothing in it is executed, whatever the environment says.

    Args:
        path: The file.

    Raises:
        UserError: If there is none, it is damaged, or holds Python objects that could run code, values of other types
            than `fit` writes, or weights that cannot be used.
    """
    if not path.is_file():
        raise UserError(f"{path}: there is no such checkpoint. Name one of `fit`.")
    if what := damage(path):
        raise UserError(f"{path}: is no checkpoint, or one that was cut off ({what}). Name another.")
    content = read_plain(path, str(path), "Name another.")
    if not isinstance(content, dict):
        raise UserError(f"{path}: must hold the state of a run; got a {type(content).__name__}. Name one of `fit`.")
    fit_record(content, _Checkpoint, str(path), "Name another checkpoint.")
    for name, value in content.get("state_dict", {}).items():
        if not isinstance(value, Tensor):
            raise UserError(
                f"{path}: state_dict.{name}: must be a tensor; got a {type(value).__name__}. Name another checkpoint."
            )
        fix = "Its training has diverged: name an earlier checkpoint, or lower the learning rate."
        _require_finite(value, f"{path}: state_dict.{name}", fix)
    return content


def read_plain(path: Path, name: str, fix: str) -> Any:
    """Read tensors and plain values of ``torch.save`` onto the CPU; nothing in the file is executed.

    Args:
        path: The file.
        name: What an error begins with.
        fix: What it ends with.

    Raises:
        UserError: If it holds anything else.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever the bytes lead to
        reason = str(error).strip().partition("\n")[0]
        raise UserError(f"{name}: cannot be read without running code of it ({reason}). {fix}") from error


def _require_finite(weights: Tensor, name: str, fix: str) -> None:
    if wrong := int((~torch.isfinite(weights)).sum()):
        raise UserError(
            f"{name}: must be finite; got NaN or infinity at {wrong:,} of {weights.numel():,} places. {fix}"
        )


def _keys_of_parameters(weights: Mapping[str, Tensor], source: str | Path, layers: Collection[str]) -> dict[str, str]:
    """Return the file's key of each parameter of the network, which has these layers, that it holds."""
    keys: dict[str, str] = {}
    for key in weights:
        match = _TORCHVISION_KEY.search(key) or _DEEPLAB_KEY.search(key)
        layer = match and _LAYER_OF.get(match[1])
        if not match or layer not in layers:
            continue
        name = f"{layer}.{match[2]}"
        if name in keys:
            raise UserError(f"{source}: {keys[name]} and {key} are both {name}. Keep one of them in the file.")
        keys[name] = key
    if not keys:
        raise UserError(f"{source}: holds no layer of a VGG-16; its keys: {join_some(list(weights))}. {_NAMES}")
    missing: list[str] = []
    for layer in (name for name in VGG_LAYERS if name in layers):
        lacking = [name for name in (f"{layer}.weight", f"{layer}.bias") if name not in keys]
        if len(lacking) == 1 or layer.startswith("conv"):
            missing += lacking
    if missing:
        raise UserError(f"{source}: holds no whole VGG-16; these are missing: {join_some(missing)}. {_NAMES}")
    return keys


def _local(source: str, sha256: str | None) -> Path:
    """Return the file of a source, with the expected digest."""
    if _is_remote(source):
        return _downloaded(source, sha256)
    url = urlsplit(source)
    path = Path(url2pathname(url.path) if url.scheme == "file" else source).expanduser()
    if not path.is_file():
        raise UserError(f"{source}: there is no such file of weights. Give an existing one, or an https:// URL.")
    if sha256 is not None:
        _check(source, sha256, digest_of(path))
    return path


def _is_remote(source: str) -> bool:
    return urlsplit(source).scheme in {"http", "https"}


def _downloaded(url: str, sha256: str | None) -> Path:
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    # a mark of the URL, because many files are called model.pth
    mark = hashlib.sha256(url.encode()).hexdigest()[:12]
    path = folder / f"{mark}-{Path(urlsplit(url).path).name or 'weights'}"
    if path.is_file() and (sha256 is None or digest_of(path) == sha256.lower()):
        return path
    with atomic_write(path, "wb") as file:
        fetch(url, file, largest=_LARGEST)
        if sha256 is not None:
            file.seek(0)
            _check(url, sha256, hashlib.file_digest(cast("Any", file), "sha256").hexdigest())
    return path


def _check(source: str, expected: str, found: str) -> None:
    if found != expected.lower():
        raise UserError(
            f"{source}: must have the sha256 {expected.lower()}; got {found}. It is another file, or damaged: "
            "get it again, or correct the digest if you trust it."
        )


def _names(layers: Iterable[str]) -> str:
    return ", ".join(layers) or "nothing"
