"""The state of a scene in a file."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from live_systems import moving_square, tiny_system, write_video

from bgsub_lightning.cli import main
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.inference import Subtractor, load_system
from bgsub_lightning.inference.saved import load_state, require_savable, save_state

SYSTEMS = ("AnyScene", "TemporalMedian", "CdnMedal", "BmnBsn", "BsuvNet", "Siamese", "FrameFcn")


def made(name: str) -> Subtractor:
    system = load_system(name) if name in {"AnyScene", "TemporalMedian"} else tiny_system(name)
    return Subtractor(system, "cpu", stride=1, pool_size=5)


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_restart_changes_nothing(name: str, tmp_path: Path) -> None:
    frames = moving_square(60, (64, 48))
    whole, first, second = made(name), made(name), made(name)
    second.module.load_state_dict(first.module.state_dict())
    whole.module.load_state_dict(first.module.state_dict())
    expected = [whole.probability([frame])[0] for frame in frames]
    assert not save_state(first, tmp_path / "x.state")  # nothing is known yet
    for frame in frames[:40]:
        first.probability([frame])
    assert save_state(first, tmp_path / "x.state")
    load_state(second, tmp_path / "x.state")
    assert second.is_warm
    found = [second.probability([frame])[0] for frame in frames[40:]]
    np.testing.assert_array_equal(found, expected[40:])


def test_a_state_of_another_system_or_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.state"
    subtractor = made("AnyScene")
    subtractor.push([moving_square(1, (64, 48))[0]])
    save_state(subtractor, path)
    with pytest.raises(UserError, match=r"x\.state.*AnyScene.*Siamese"):
        load_state(made("Siamese"), path)
    other = made("AnyScene")
    load_state(other, path)
    with pytest.raises(UserError, match=r"--state: .*x\.state: .*64×48.*96×48"):
        other.push([moving_square(1, (96, 48))[0]])


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path, broken = tmp_path / "x.state", tmp_path / "broken.state"
    subtractor = made("AnyScene")
    subtractor.push([moving_square(1, (64, 48))[0]])
    save_state(subtractor, path)
    content = path.read_bytes()
    record = torch.load(path, weights_only=True)
    for written in (
        b"",
        content[: len(content) // 2],
        b"no state",
        None,
        torch.tensor([1.0]),
        {"a": 1},
        record | {"size": "x"},
    ):
        if written is None:
            broken.unlink()
            broken.mkdir()
        elif isinstance(written, bytes):
            broken.write_bytes(written)
        else:
            torch.save(written, broken)
        with pytest.raises(UserError, match=r"--state: .*broken\.state"):
            load_state(made("AnyScene"), broken)
        if written is None:
            broken.rmdir()
    for name in record["context"]:
        changed = {key: value for key, value in record["context"].items() if key != name}
        torch.save(record | {"context": changed}, broken)
        with pytest.raises(UserError, match=rf"--state: .*broken\.state.*{name}"):
            load_state(made("AnyScene"), broken)
    samples = record["context"]["background"]
    for name in ("blind", "locked_for", "flips"):
        changed = record["context"] | {"background": samples | {name: samples[name][..., :-2, :]}}
        torch.save(record | {"context": changed}, broken)
        with pytest.raises(UserError, match=r"--state: .*broken\.state"):
            load_state(made("AnyScene"), broken)


def test_a_file_cannot_run_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "run",)  # type: ignore[return-value]

    torch.save({"bgsub_lightning_state": 1, "system": Evil()}, tmp_path / "x.state")
    with pytest.raises(UserError, match=r"x\.state"):
        load_state(made("AnyScene"), tmp_path / "x.state")
    assert not (tmp_path / "run").exists()


def test_the_command_goes_on_where_it_was(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    frames = moving_square(40, (64, 48))
    first = write_video(tmp_path / "1.mkv", frames[:25])
    second = write_video(tmp_path / "2.mkv", frames[25:])
    state = tmp_path / "street.state"
    for number, video in enumerate((first, second)):
        options = [f"--state={state}", f"--out={tmp_path / str(number)}", "--write=masks", "--batch_size=1"]
        assert main(["segment", str(video), *options]) == 0
    assert torch.load(state, weights_only=True)["context"]["background"]["frames"] == 40
    assert main(["segment", str(first), "--checkpoint=MOG2", f"--state={state}"]) == 2
    assert "MOG2" in capfd.readouterr().err


def test_a_state_that_cannot_be_written_is_said_at_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    video = write_video(tmp_path / "1.mkv", moving_square(3, (64, 48)))
    state = video / "x.state"  # in a folder that is a file
    assert main(["segment", str(video), f"--state={state}", f"--out={tmp_path / 'out'}"]) == 2
    assert f"error: {video}: " in " ".join(capfd.readouterr().err.split())
    assert not (tmp_path / "out").exists()


def test_a_view_that_changed_meanwhile_is_noticed(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    street = cv2.GaussianBlur(generator.integers(0, 255, (120, 160, 3), np.uint8), (0, 0), 3)
    street = cv2.normalize(street, street, 20, 220, cv2.NORM_MINMAX)
    state, events = tmp_path / "x.state", []
    for name, shift in (("before", 0), ("after", 20)):
        image = np.roll(street, shift, 1).astype(np.int16)
        frames = [(image + generator.integers(-2, 3, image.shape)).clip(0, 255).astype(np.uint8) for _ in range(80)]
        video, out = write_video(tmp_path / f"{name}.mkv", frames), tmp_path / name
        options = ["--checkpoint=TemporalMedian", f"--state={state}", f"--out={out}", "--write=events_jsonl"]
        assert main(["segment", str(video), *options]) == 0
        events.append([json.loads(line)["event"] for line in (out / "events.jsonl").read_text().splitlines()])
    assert "camera_moved" not in events[0]
    assert "camera_moved" in events[1]


def test_libraries_cannot_save_theirs() -> None:
    with pytest.raises(UserError, match="MOG2"):
        require_savable(Subtractor(load_system("MOG2"), "cpu"))
