"""Real sequences as video files: `segment` gives the masks of `predict`, whatever the container."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from live_systems import TINY, pool_of, predicted, save, tiny_system, write_video
from tiny_training import quiet

from bgsub_lightning.cli import main
from bgsub_lightning.frames import read_image

pytestmark = [quiet, pytest.mark.real_data]

FIRST, COUNT, LABELLED = 800, 14, 6


def excerpt(data: Path, key: str, root: Path) -> tuple[list[Path], Path]:
    """Frames of a video as a dataset, the last of them labelled, and as a lossless video."""
    there, here = data / "CDnet2014" / key, root / key
    for folder in ("input", "groundtruth"):
        (here / folder).mkdir(parents=True)
    for number in range(1, COUNT + 1):
        for name in ("input/in{:06d}.jpg", "groundtruth/gt{:06d}.png"):
            shutil.copyfile(there / name.format(FIRST + number), here / name.format(number))
    (here / "temporalROI.txt").write_text(f"{COUNT - LABELLED + 1} {COUNT}")
    files = sorted((here / "input").iterdir())
    return files, write_video(root / "video.mkv", [read_image(file) for file in files])


@pytest.mark.parametrize("key", ["baseline/highway", "cameraJitter/traffic"])
@pytest.mark.parametrize("name", TINY)
def test_masks_of_a_video_are_those_of_predict(name: str, key: str, tmp_path: Path, real_data: Path) -> None:
    files, video = excerpt(real_data, key, tmp_path / "data")
    system = tiny_system(name)
    pool = pool_of(system, tmp_path / "data")
    if name == "Siamese":
        system.module.inputs = (system.module.inputs[0], replace(system.module.inputs[1], given=files[0]))  # type: ignore[type-var]
        pool = [read_image(files[0])]
    expected = predicted(system, tmp_path / "data", tmp_path / "run")
    threshold = float(np.median(np.stack(list(expected.values()))))
    (tmp_path / "clean").mkdir()
    for i, image in enumerate(pool):
        cv2.imwrite(str(tmp_path / f"clean/{i}.png"), image[..., ::-1])
    options = [f"--source={video}", f"--checkpoint={save(system, tmp_path / 'x.ckpt')}", f"--out={tmp_path / 'out'}"]
    background = [f"--background={tmp_path / 'clean'}"] if pool else []
    assert (
        main(
            [
                "segment",
                *options,
                *background,
                f"--threshold={threshold}",
                "--write=masks",
                "--clean=false",
                "--device=cpu",
            ]
        )
        == 0
    )
    shares = []
    for number, probability in expected.items():
        mask = cv2.imread(str(tmp_path / f"out/masks/bin{number:06d}.png"), cv2.IMREAD_UNCHANGED)
        differs = (mask == 255) != (probability > threshold)
        assert np.abs(probability[differs] - threshold).max(initial=0) < 1e-5  # rounding, in batches of another size
        shares.append((mask == 255).mean())
    assert len(shares) == LABELLED
    assert 0.3 < np.mean(shares) < 0.7
