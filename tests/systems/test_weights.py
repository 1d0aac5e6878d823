from __future__ import annotations

import hashlib
import io
import math
import os
import pickle
import re
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from local_site import Site, serving
from tiny_training import TORCHVISION
from torch import Tensor, nn

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.systems.recon_mcfcn.mcfcn import Mcfcn
from bgsub_lightning.systems.siamese.network import SiameseNetwork
from bgsub_lightning.systems.vgg import VGG_LAYERS
from bgsub_lightning.systems.weights import LoadReport, load_state_dict, load_vgg

WIDTH = 2


def vgg(width: int = WIDTH, naming: str = "torchvision", fc: bool = False, channels: int = 3) -> dict[str, Tensor]:
    """Random weights under real names; torchvision's with its fully connected layers, as stubs of their real rank."""
    generator = torch.Generator().manual_seed(width)
    widths = [width * factor for factor in (1, 1, 2, 2, 4, 4, 4, 8, 8, 8, 8, 8, 8)]
    state: dict[str, Tensor] = {}

    def layer(name: str, outputs: int, inputs: int, kernel: int) -> None:
        state[f"{name}.weight"] = torch.randn(outputs, inputs, kernel, kernel, generator=generator)
        state[f"{name}.bias"] = torch.randn(outputs, generator=generator)

    for number, name in enumerate(VGG_LAYERS[:13]):
        inputs = channels if number == 0 else widths[number - 1]
        layer(f"features.{TORCHVISION[number]}" if naming == "torchvision" else name, widths[number], inputs, 3)
    if naming == "torchvision":
        for index in (0, 3, 6):
            state[f"classifier.{index}.weight"] = torch.zeros(4, 4)
            state[f"classifier.{index}.bias"] = torch.zeros(4)
    if fc:
        layer("fc6", 16 * width, 8 * width, 3)
        layer("fc7", 16 * width, 16 * width, 1)
        layer("fc8_voc12", 21, 16 * width, 1)
    return state


def network(channels: int = 6) -> Mcfcn:
    torch.manual_seed(0)
    return Mcfcn(channels, width=WIDTH)


def saved(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def assert_vgg(net: Mcfcn, state: dict[str, Tensor], layers: tuple[str, ...]) -> None:
    """Assert that the layers of a network hold the tensors of a state dict, which lie in their order."""
    tensors = [tensor for key, tensor in state.items() if not key.startswith("classifier")]
    own = net.state_dict()
    for number, name in enumerate(VGG_LAYERS[: len(tensors) // 2]):
        if name in layers:
            assert torch.equal(own[f"{name}.weight"], tensors[2 * number].float()), name
            assert torch.equal(own[f"{name}.bias"], tensors[2 * number + 1].float()), name


# --- VGG-16 ----------------------------------------------------------------------------------------------------------


def test_torchvisions_names_into_six_channels(tmp_path: Path) -> None:
    net, state = network(), vgg()
    path = saved(tmp_path / "vgg16.pth", state)
    report = load_vgg(net, path)
    assert report == LoadReport(
        source=str(path),
        loaded=VGG_LAYERS[1:13],
        drawn=("conv1_1", "fc6", "fc7", "fc8"),
        unused=(
            *("classifier.0.bias", "classifier.0.weight", "classifier.3.bias", "classifier.3.weight"),
            *("classifier.6.bias", "classifier.6.weight", "features.0.bias", "features.0.weight"),
        ),
    )
    assert_vgg(net, state, VGG_LAYERS[1:13])
    for layer in (net.conv1_1, net.fc8):
        assert 0.003 < layer.weight.std() < 0.03
        assert layer.bias is not None
        assert not layer.bias.any()


def test_torchvisions_names_into_three_channels(tmp_path: Path) -> None:
    net, state = network(3), vgg()
    report = load_vgg(net, saved(tmp_path / "vgg16.pth", state))
    assert report.loaded == VGG_LAYERS[:13]
    assert report.drawn == ("fc6", "fc7", "fc8")
    assert_vgg(net, state, VGG_LAYERS[:13])


@pytest.mark.parametrize("naming", ["torchvision", "deeplab"])
def test_first_layer_as_the_frames(tmp_path: Path, naming: str) -> None:
    net, state = network(), vgg(naming=naming)
    report = load_vgg(net, saved(tmp_path / "vgg16.pth", state), first_layer="frame")
    weight, bias = list(state.values())[:2]
    assert torch.equal(net.conv1_1.weight[:, :3], weight)
    assert not net.conv1_1.weight[:, 3:].any()
    assert net.conv1_1.bias is not None
    assert torch.equal(net.conv1_1.bias, bias)
    assert report.loaded == VGG_LAYERS[:13]
    assert report.zeros
    assert "conv1_1: zeros for all channels but the frame's" in str(report)
    frame = torch.rand(1, 3, 9, 9)
    plain = network(3)
    load_vgg(plain, tmp_path / "vgg16.pth")
    torch.testing.assert_close(net.conv1_1(torch.cat([frame, torch.rand(1, 3, 9, 9)], 1)), plain.conv1_1(frame))


def test_first_layer_of_six_channels_is_loaded_as_it_is(tmp_path: Path) -> None:
    net, state = network(), vgg(naming="deeplab", fc=True, channels=6)
    report = load_vgg(net, saved(tmp_path / "own.pth", state))
    assert report.loaded == VGG_LAYERS
    assert_vgg(net, state, VGG_LAYERS)


@pytest.mark.parametrize("prefix", ["", "base.", "Scale.", "module.", "module.scale.net."])
def test_deeplabs_names_with_any_prefix(tmp_path: Path, prefix: str) -> None:
    net, state = network(3), vgg(naming="deeplab", fc=True)
    path = saved(tmp_path / "deeplab.pth", {prefix + key: tensor for key, tensor in state.items()})
    report = load_vgg(net, path)
    assert report.loaded == VGG_LAYERS
    assert report.drawn == ("fc8",)
    kept = prefix.removeprefix("module.")
    assert report.unused == (f"{kept}fc8_voc12.bias", f"{kept}fc8_voc12.weight")
    assert_vgg(net, state, VGG_LAYERS)


@pytest.mark.parametrize("prefix", ["backbone.", "module.vgg."])
def test_torchvisions_names_with_any_prefix(tmp_path: Path, prefix: str) -> None:
    net, state = network(3), vgg()
    load_vgg(net, saved(tmp_path / "vgg16.pth", {prefix + key: tensor for key, tensor in state.items()}))
    assert_vgg(net, state, VGG_LAYERS[:13])


@pytest.mark.parametrize("absent", ["fc6", "fc7"])
def test_fc6_or_fc7_may_be_absent(tmp_path: Path, absent: str) -> None:
    net, state = network(3), vgg(naming="deeplab", fc=True)
    rest = {key: tensor for key, tensor in state.items() if not key.startswith(absent)}
    report = load_vgg(net, saved(tmp_path / "part.pth", rest))
    assert report.drawn == (absent, "fc8")
    assert_vgg(net, state, tuple(layer for layer in VGG_LAYERS if layer != absent))
    assert getattr(net, absent).weight.any()
    assert not getattr(net, absent).bias.any()


def test_weights_that_were_there_do_not_stay(tmp_path: Path) -> None:
    net = network()
    for parameter in net.parameters():
        nn.init.constant_(parameter, 7.0)
    load_vgg(net, saved(tmp_path / "vgg16.pth", vgg()))
    assert not [name for name, parameter in net.named_parameters() if (parameter == 7).any()]


def test_parameters_stay_float32_leaves(tmp_path: Path) -> None:
    net = network()
    before = dict(net.named_parameters())
    load_vgg(net, saved(tmp_path / "half.pth", {key: tensor.half() for key, tensor in vgg().items()}), None, "frame")
    for name, parameter in net.named_parameters():
        assert parameter is before[name]
        assert parameter.dtype == torch.float32
        assert parameter.is_leaf
        assert parameter.requires_grad


def test_the_report_can_be_read(tmp_path: Path) -> None:
    path = saved(tmp_path / "vgg16.pth", vgg(naming="deeplab"))
    assert str(load_vgg(network(), path)).splitlines() == [
        f"Weights of {path}",
        f"  loaded: {', '.join(VGG_LAYERS[1:13])}",
        "  newly drawn: conv1_1, fc6, fc7, fc8",
        "  not used: conv1_1.bias, conv1_1.weight",
    ]
    assert str(load_vgg(network(3), path)).splitlines()[-1] == "  not used: nothing"


@pytest.fixture(scope="session")
def real_vgg(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of torchvision's real names and shapes, in half precision, without the fully connected layers."""
    state = {key: tensor.half() for key, tensor in vgg(64).items() if not key.startswith("classifier")}
    return saved(tmp_path_factory.mktemp("vgg") / "vgg16.pth", state)


@pytest.mark.slow
@pytest.mark.parametrize("channels", [3, 6])
def test_real_shapes(real_vgg: Path, channels: int) -> None:
    net = Mcfcn(channels)
    report = load_vgg(net, real_vgg, first_layer="frame")
    assert report.loaded == VGG_LAYERS[:13]
    assert not report.unused
    state = torch.load(real_vgg, weights_only=True)
    assert state["features.28.weight"].shape == (512, 512, 3, 3)
    assert torch.equal(net.conv5_3.weight, state["features.28.weight"].float())
    assert torch.equal(net.conv1_1.weight[:, :3], state["features.0.weight"].float())


def test_another_shape_names_key_shapes_and_file(tmp_path: Path) -> None:
    net, state = network(), vgg()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    state["features.14.weight"] = torch.zeros(8, 8, 1, 1)
    path = saved(tmp_path / "odd.pth", state)
    with pytest.raises(
        UserError,
        match=re.escape(f"{path}: features.14.weight has the shape (8, 8, 1, 1), but the network's conv3_3.weight has")
        + r" \(8, 8, 3, 3\)",
    ):
        load_vgg(net, path)
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, before[name])


@pytest.mark.parametrize("first_layer", ["normal", "frame"])
@pytest.mark.parametrize("shape", [(2, 5, 3, 3), (3, 3, 3, 3), (2, 3, 7, 7)])
def test_another_first_layer_is_refused(tmp_path: Path, shape: tuple[int, ...], first_layer: Any) -> None:
    state = vgg(naming="deeplab") | {"conv1_1.weight": torch.zeros(shape)}
    with pytest.raises(UserError, match=rf"conv1_1.weight has the shape {re.escape(str(shape))}.* has \(2, 6, 3, 3\)"):
        load_vgg(network(), saved(tmp_path / "odd.pth", state), first_layer=first_layer)


def test_fully_connected_fc6_is_refused(tmp_path: Path) -> None:
    state = vgg(naming="deeplab", fc=True) | {"fc6.weight": torch.zeros(64, 16 * 49)}
    with pytest.raises(UserError, match=r"fc6.weight .*\(64, 784\).*\(32, 16, 3, 3\)"):
        load_vgg(network(), saved(tmp_path / "full.pth", state))


def test_another_width_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"features.0.weight has the shape \(4, 3, 3, 3\).* \(2, 6, 3, 3\).* width"):
        load_vgg(network(), saved(tmp_path / "wide.pth", vgg(4)))


@pytest.mark.parametrize(
    ("drop", "expected"),
    [
        ("features.5.", "missing: conv2_1.weight, conv2_1.bias. Expected the names of torchvision"),
        ("features.0.weight", "missing: conv1_1.weight. Expected"),
        ("features.", "holds no layer of a VGG-16; its keys: classifier.0.weight, classifier.0.bias, "),
        ("features.2", "missing: conv1_2.weight, conv1_2.bias, conv4_3.weight, conv4_3.bias, conv5_1.weight and "),
    ],
)
def test_part_of_a_vgg_is_refused(tmp_path: Path, drop: str, expected: str) -> None:
    state = {key: tensor for key, tensor in vgg().items() if not key.startswith(drop)}
    with pytest.raises(UserError, match=re.escape(expected)):
        load_vgg(network(), saved(tmp_path / "part.pth", state))


def test_half_of_fc7_is_refused(tmp_path: Path) -> None:
    state = vgg(naming="deeplab", fc=True)
    del state["fc7.weight"]
    with pytest.raises(UserError, match=r"missing: fc7.weight\. Expected"):
        load_vgg(network(), saved(tmp_path / "part.pth", state))


def test_vgg_with_batch_normalisation_is_refused(tmp_path: Path) -> None:
    indices = (0, 3, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37, 40)
    tensors = [tensor for key, tensor in vgg().items() if key.startswith("features")]
    state = {f"features.{index}.weight": tensor for index, tensor in zip(indices, tensors[::2], strict=True)}
    state |= {f"features.{index}.bias": tensor for index, tensor in zip(indices, tensors[1::2], strict=True)}
    with pytest.raises(UserError, match=r"missing: conv1_2.weight.*batch normalisation"):
        load_vgg(network(), saved(tmp_path / "vgg16_bn.pth", state))


def test_another_network_is_refused_with_a_few_of_its_keys(tmp_path: Path) -> None:
    state = {f"layer1.{number}.conv1.weight": torch.zeros(1) for number in range(9)}
    path = saved(tmp_path / "resnet.pth", state)
    few = ", ".join(list(state)[:5])
    with pytest.raises(UserError, match=re.escape(f"{path}: holds no layer of a VGG-16; its keys: {few} and ")):
        load_vgg(network(), path)


def test_two_keys_for_one_layer_are_refused(tmp_path: Path) -> None:
    state = vgg(naming="deeplab")
    twice = {f"a.{key}": tensor for key, tensor in state.items()} | {f"b.{key}": t for key, t in state.items()}
    with pytest.raises(UserError, match=r"a\.conv1_1\.weight and b\.conv1_1\.weight are both conv1_1\.weight"):
        load_vgg(network(), saved(tmp_path / "twice.pth", twice))


# --- a network of the first ten convolutions -------------------------------------------------------------------------


def ten(width: int = WIDTH) -> SiameseNetwork:
    torch.manual_seed(0)
    return SiameseNetwork(width)


@pytest.mark.parametrize("naming", ["torchvision", "deeplab"])
def test_ten_convolutions_take_theirs_and_leave_the_rest(tmp_path: Path, naming: str) -> None:
    net, state = ten(), vgg(naming=naming, fc=True)
    report = load_vgg(net, saved(tmp_path / "vgg16.pth", state))
    assert report.loaded == VGG_LAYERS[:10]
    assert report.drawn == ("pyramid",)
    tensors = list(state.values())
    for number, name in enumerate(VGG_LAYERS[:10]):
        assert torch.equal(net.state_dict()[f"{name}.weight"], tensors[2 * number])
        assert torch.equal(net.state_dict()[f"{name}.bias"], tensors[2 * number + 1])
    assert set(report.unused) == set(list(state)[20:])


def test_ten_convolutions_need_no_more_than_ten(tmp_path: Path) -> None:
    state = vgg(naming="deeplab")
    ours = {key: tensor for key, tensor in state.items() if not key.startswith("conv5")}
    report = load_vgg(ten(), saved(tmp_path / "ten.pth", ours))
    assert (report.loaded, report.unused) == (VGG_LAYERS[:10], ())
    with pytest.raises(UserError, match=r"ten\.pth: .*missing: conv5_1\.weight"):
        load_vgg(network(3), tmp_path / "ten.pth")
    del ours["conv4_3.weight"]
    with pytest.raises(UserError, match=r"nine\.pth: .*missing: conv4_3\.weight\."):
        load_vgg(ten(), saved(tmp_path / "nine.pth", ours))


def test_ten_convolutions_of_another_width_are_refused(tmp_path: Path) -> None:
    net = ten(4)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with pytest.raises(UserError, match=r"features.0.weight has the shape \(2, 3, 3, 3\).* \(4, 3, 3, 3\).* width"):
        load_vgg(net, saved(tmp_path / "vgg16.pth", vgg()))
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


# --- files -----------------------------------------------------------------------------------------------------------


STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.tensor([True])}


def assert_state(found: dict[str, Tensor]) -> None:
    assert found.keys() == STATE.keys()
    assert all(torch.equal(found[key], tensor) for key, tensor in STATE.items())


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_reads_a_state_dict(tmp_path: Path, prefix: str, nested: bool, legacy: bool) -> None:
    content: dict[str, Any] = {prefix + key: tensor for key, tensor in STATE.items()}
    if nested:
        content = {"epoch": 3, "state_dict": content, "optimizer": {"lr": 0.1}}
    path = tmp_path / "weights.pth"
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    for source in (path, str(path), path.as_uri()):
        assert_state(load_state_dict(source))
    assert_state(load_state_dict(path, digest))
    assert_state(load_state_dict(path.as_uri(), digest.upper()))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, value: float) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"a.weight": torch.tensor([1.0, value, 2.0])}, path)
    with pytest.raises(UserError, match=r"weights\.pth: a\.weight: .*1 of 3"):
        load_state_dict(path)


def test_reads_a_networks_own_and_leaves_other_values_out(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    content = dict(net.state_dict()) | {"version": 2, "names": ["a"]}
    found = load_state_dict(saved(tmp_path / "own.pth", content))
    assert found.keys() == net.state_dict().keys()
    net.load_state_dict(found)


def test_reads_below_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    saved(tmp_path / "weights.pth", STATE)
    assert_state(load_state_dict("~/weights.pth"))


@pytest.mark.parametrize("form", [str, Path, Path.as_uri])
def test_no_such_file(tmp_path: Path, form: Callable[[Path], str | Path]) -> None:
    for path in (tmp_path / "none.pth", tmp_path):
        source = form(path)
        with pytest.raises(UserError, match=re.escape(f"{source}: ")):
            load_state_dict(source)


def test_another_digest_names_both(tmp_path: Path) -> None:
    path = saved(tmp_path / "weights.pth", STATE)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    other = "0" * 64
    with pytest.raises(UserError, match=re.escape(f"{path}: must have the sha256 {other}; got {digest}.")):
        load_state_dict(path, other)


def not_whole(kind: str) -> bytes:
    whole = {legacy: io.BytesIO() for legacy in (False, True)}
    for legacy, file in whole.items():
        torch.save({"a": torch.zeros(5000)}, file, _use_new_zipfile_serialization=not legacy)
    return {
        "cut": whole[False].getvalue()[:9000],
        "cut legacy": whole[True].getvalue()[:9000],
        "empty": b"",
        "page": b"<!doctype html><title>Not found</title>",
        "text": b"not a file of weights\n" * 9,
        "zeros": bytes(4096),
        "pickle": pickle.dumps({"a": 1}, protocol=2)[:-1],
    }[kind]


@pytest.mark.parametrize("kind", ["cut", "cut legacy", "empty", "page", "text", "zeros", "pickle"])
def test_not_a_whole_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(not_whole(kind))
    size = f"{path.stat().st_size:,}"
    with pytest.raises(UserError, match=re.escape(f"{path}: is not a whole file of torch.save") + f".*{size} bytes"):
        load_state_dict(path)


class Malicious:
    """Makes a folder when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.mark),))


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("zip", r".*; got a Python object, \w+\.mkdir\. "),
        ("legacy", r".*; got a Python object, \w+\.mkdir\. "),
        ("pickle 2", r".*; got a Python object, \w+\.mkdir\. "),
        ("pickle 5", r"is not a whole file of torch\.save.*; nothing in it was executed"),
    ],
)
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_code_is_refused_and_not_executed(tmp_path: Path, how: str, expected: str) -> None:
    mark, path = tmp_path / "mark", tmp_path / "weights.pth"
    content = {"state_dict": {"conv1_1.weight": torch.zeros(2)}, "extra": Malicious(mark)}
    if how.startswith("pickle"):
        path.write_bytes(pickle.dumps({"extra": Malicious(mark)}, protocol=int(how[-1])))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=how == "zip")
    for load in (load_state_dict, lambda path: load_vgg(network(), path)):
        with pytest.raises(UserError, match=rf"{re.escape(str(path))}: {expected}"):
            load(path)
        assert not mark.exists()
    if how == "zip":
        torch.load(path, weights_only=False)
        assert mark.exists()  # so the file was as bad as it was meant to be


def test_a_checkpoint_with_objects_is_refused_by_name(tmp_path: Path) -> None:
    path = saved(tmp_path / "last.ckpt", {"state_dict": STATE, "hyper_parameters": LoadReport("", (), (), ())})
    with pytest.raises(UserError, match=r"object, bgsub_lightning\.systems\.weights\.LoadReport\..*save its tensors"):
        load_state_dict(path)


def test_a_bare_tensor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Tensor.*state dict"):
        load_state_dict(saved(tmp_path / "tensor.pth", torch.zeros(2)))


def test_a_dict_without_tensors_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "odd.pth", {"epoch": 3, "model": {"a": torch.zeros(1)}})
    with pytest.raises(UserError, match=r"keys: epoch, model\."):
        load_state_dict(path)
    with pytest.raises(UserError, match=r"its keys: none\."):
        load_state_dict(saved(tmp_path / "empty.pth", {"state_dict": {}}))


# --- downloads -------------------------------------------------------------------------------------------------------


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr("torch.hub._hub_dir", str(tmp_path / "hub"))
    file = io.BytesIO()
    torch.save(STATE, file)
    with serving(monkeypatch) as site:
        site.files["/one/weights.pth"] = file.getvalue()
        yield site


def kept(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "hub/checkpoints").iterdir())


def test_downloads_once(site: Site, tmp_path: Path) -> None:
    url = f"{site.url}/one/weights.pth"
    digest = hashlib.sha256(site.files["/one/weights.pth"]).hexdigest()
    assert_state(load_state_dict(url))
    assert_state(load_state_dict(url))
    assert_state(load_state_dict(url, digest))
    assert len(site.asked) == 1
    (file,) = kept(tmp_path)
    assert file.name.endswith("-weights.pth")
    assert file.read_bytes() == site.files["/one/weights.pth"]


def test_files_of_one_name_do_not_mix(site: Site, tmp_path: Path) -> None:
    file = io.BytesIO()
    torch.save({"other": torch.ones(1)}, file)
    site.files["/two/weights.pth?raw=1"] = file.getvalue()
    assert_state(load_state_dict(f"{site.url}/one/weights.pth"))
    assert load_state_dict(f"{site.url}/two/weights.pth?raw=1").keys() == {"other"}
    assert len(kept(tmp_path)) == 2


def test_a_download_of_another_digest_is_not_kept(site: Site, tmp_path: Path) -> None:
    url = f"{site.url}/one/weights.pth"
    digest = hashlib.sha256(site.files["/one/weights.pth"]).hexdigest()
    with pytest.raises(UserError, match=rf"{url}: .*{'1' * 64}; got {digest}"):
        load_state_dict(url, "1" * 64)
    assert not kept(tmp_path)


def test_a_kept_file_of_another_digest_is_downloaded_again(site: Site, tmp_path: Path) -> None:
    url = f"{site.url}/one/weights.pth"
    load_state_dict(url)
    (file,) = kept(tmp_path)
    file.write_bytes(b"damaged")
    assert_state(load_state_dict(url, hashlib.sha256(site.files["/one/weights.pth"]).hexdigest()))
    assert len(site.asked) == 2
    assert kept(tmp_path) == [file]


def test_a_connection_that_ends_too_early_leaves_nothing(site: Site, tmp_path: Path) -> None:
    site.promised = 7
    count = len(site.files["/one/weights.pth"])
    with pytest.raises(UserError, match=rf"{count:,} of {count + 7:,} bytes"):
        load_state_dict(f"{site.url}/one/weights.pth")
    assert not kept(tmp_path)
    site.promised = 0
    assert_state(load_state_dict(f"{site.url}/one/weights.pth"))


def test_what_is_not_there_cannot_be_downloaded(site: Site, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"{site.url}/none.pth: .*404"):
        load_state_dict(f"{site.url}/none.pth")
    assert not kept(tmp_path)


def test_nobody_answers(site: Site, tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as closed:
        port = closed.server_address[1]
    with pytest.raises(UserError, match=r"could not be downloaded: .*refused"):
        load_state_dict(f"http://127.0.0.1:{port}/weights.pth")
    assert not kept(tmp_path)


def test_a_page_instead_of_a_file_says_what_to_delete(site: Site, tmp_path: Path) -> None:
    site.files["/page"] = b"<!doctype html>"
    with pytest.raises(UserError, match=r"15 bytes.*-page") as raised:
        load_state_dict(f"{site.url}/page")
    assert str(kept(tmp_path)[0]) in str(raised.value)


def test_loads_a_vgg_from_a_url(site: Site) -> None:
    file = io.BytesIO()
    torch.save(vgg(), file)
    site.files["/vgg16.pth"] = file.getvalue()
    report = load_vgg(network(3), f"{site.url}/vgg16.pth", hashlib.sha256(file.getvalue()).hexdigest())
    assert report.source == f"{site.url}/vgg16.pth"
    assert report.loaded == VGG_LAYERS[:13]
