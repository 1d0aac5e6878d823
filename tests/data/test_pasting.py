"""Objects pasted into frames of scenes without foreground."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image as PilImage

from bgsub_lightning.cli import main
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.data import Image, References, ScenesDataModule, Span, Stage, StagePlan, VocObjects
from bgsub_lightning.data.augment import A
from bgsub_lightning.data.pasting import has_foreground
from bgsub_lightning.datasets import CDnet2014
from bgsub_lightning.frames import SceneFrames
from bgsub_lightning.splits import FirstHalf, LabelBudget

RED, GREEN, BLUE = (250, 10, 10), (10, 240, 10), (10, 10, 245)
COLOURS = {"a": {1: RED, 2: GREEN}, "b": {1: BLUE}}
SIZES = {RED: (60, 40), GREEN: (20, 50), BLUE: (90, 30)}  # width and height, border left out


def write_mask(path: Path, numbers: NDArray[np.uint8]) -> None:
    """Write a PNG with VOC's palette, in which no two objects have the same colour."""
    file = PilImage.fromarray(numbers)
    palette = [
        [sum((index >> (3 * bit + channel) & 1) << (7 - bit) for bit in range(3)) for channel in range(3)]
        for index in range(256)
    ]
    file.putpalette([level for colour in palette for level in colour])
    file.save(path)


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    """A folder in VOC's layout: ``a`` holds a red and a green box, ``b`` a blue one and a speck, ``c`` nothing."""
    root = tmp_path / "VOC2012"
    (root / "JPEGImages").mkdir(parents=True)
    (root / "SegmentationObject").mkdir()
    for name in ("a", "b", "c"):
        image, numbers = np.full((100, 140, 3), 128, np.uint8), np.zeros((100, 140), np.uint8)
        left = 10
        for number, colour in COLOURS.get(name, {}).items():
            width, height = SIZES[colour]
            numbers[4 : 10 + height, left - 3 : left + 3 + width] = 255
            numbers[7 : 7 + height, left : left + width] = number
            image[1 : 13 + height, left - 6 : left + 6 + width] = colour
            left += width + 15
        if name == "b":
            numbers[80:90, 100:110] = 7  # 100 pixels, of grey
        assert cv2.imwrite(str(root / f"JPEGImages/{name}.jpg"), image[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, 100))
        write_mask(root / f"SegmentationObject/{name}.png", numbers)
    return root


def pasted(
    objects: VocObjects, seed: int, size: tuple[int, int] = (96, 72)
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Paste into a black frame whose mask is 85 all over."""
    image, mask = np.zeros((size[1], size[0], 3), np.uint8), np.full((size[1], size[0]), 85, np.uint8)
    objects.paste(image, mask, seed)
    return image, mask


def colour_of(image: NDArray[np.uint8], where: NDArray[np.bool_]) -> set[tuple[int, int, int]]:
    """Which of the objects' colours the pixels are close to; fails for any other."""
    found = set()
    for pixel in image[where].astype(int):
        near = [colour for colour in SIZES if np.abs(pixel - colour).max() <= 24]
        assert near, pixel
        found.add(near[0])
    return found


# --- pasting ---------------------------------------------------------------------------------------------------------


def test_labels_lie_where_the_objects_lie(voc: Path) -> None:
    objects = VocObjects(voc)
    for seed in range(60):
        image, mask = pasted(objects, seed)
        assert set(np.unique(mask)) == {85, 170, 255}
        np.testing.assert_array_equal(mask != 85, image.any(axis=-1))  # nothing else has changed
        colour_of(image, mask == 255)
        assert (mask == 255).sum() >= 20


def test_one_or_two_objects_of_all_that_are_large_enough(voc: Path) -> None:
    objects = VocObjects(voc)
    found: dict[tuple[int, int, int], int] = dict.fromkeys(SIZES, 0)
    several = 0
    for seed in range(300):
        image, mask = pasted(objects, seed)
        colours = colour_of(image, mask == 255)
        several += len(colours) == 2
        for colour in colours:
            found[colour] += 1
        assert len(colours) <= 2
    assert min(found.values()) > 60
    assert 50 < several < 150


def single(voc: Path, seeds: range, size: tuple[int, int]) -> list[tuple[int, int, int, int, NDArray[np.uint8]]]:
    """Top, left, height and width of pastes of the blue box alone, and their masks."""
    (voc / "ImageSets/Segmentation").mkdir(parents=True, exist_ok=True)
    (voc / "ImageSets/Segmentation/train.txt").write_text("b\n")
    boxes = []
    for seed in seeds:
        if np.random.default_rng((seed, 2)).integers(1, 3) == 1:
            _, mask = pasted(VocObjects(voc), seed, size)
            rows, columns = np.flatnonzero((mask != 85).any(1)), np.flatnonzero((mask != 85).any(0))
            boxes.append((rows[0], columns[0], len(rows), len(columns), mask))
    assert len(boxes) > 40
    return boxes


def test_sizes_and_places(voc: Path) -> None:
    boxes = single(voc, range(300), (400, 100))
    heights = [height for _, _, height, _, _ in boxes]
    assert (min(heights), max(heights)) == (10, 50)
    assert np.histogram(heights, 4, (10, 50))[0].min() > 15
    for _, _, height, width, _ in boxes:
        assert width == pytest.approx(3 * height, abs=2)
    assert min(left for _, left, _, _, _ in boxes) < 15
    assert max(left + width for _, left, _, width, _ in boxes) > 385
    assert min(top for top, *_ in boxes) <= 3
    assert max(top + height for top, _, height, _, _ in boxes) >= 97


def test_the_rim_is_one_pixel(voc: Path) -> None:
    for top, left, height, width, mask in single(voc, range(120), (400, 100)):
        expected = np.full_like(mask, 85)
        expected[top : top + height, left : left + width] = 170
        expected[top + 1 : top + height - 1, left + 1 : left + width - 1] = 255
        np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize("size", [(16, 16), (40, 64)])
def test_objects_fit_into_small_and_narrow_frames(voc: Path, size: tuple[int, int]) -> None:
    for _, _, height, width, _ in single(voc, range(120), size):
        assert width <= size[0]
        assert height == 5 if size[0] == 16 else 6 <= height <= 13
    for seed in range(100):
        assert (pasted(VocObjects(voc), seed, size)[1] == 255).any()


def test_objects_are_mirrored_or_not(voc: Path) -> None:
    triangle = np.tril(np.ones((60, 60), np.uint8))
    numbers = np.zeros((100, 140), np.uint8)
    numbers[20:80, 30:90] = triangle * 3
    for name in "ac":
        (voc / f"SegmentationObject/{name}.png").unlink()
    write_mask(voc / "SegmentationObject/b.png", numbers)
    heavier_left = 0
    pastes = 0
    for seed in range(100):
        if np.random.default_rng((seed, 2)).integers(1, 3) == 1:
            _, mask = pasted(VocObjects(voc), seed)
            columns = (mask != 85).sum(0)
            columns = columns[columns > 0]
            heavier_left += columns[0] > columns[-1]
            pastes += 1
    assert 0.25 * pastes < heavier_left < 0.75 * pastes


def test_pastes_depend_on_the_seed_alone(voc: Path) -> None:
    objects = VocObjects(voc)
    first = [pasted(objects, seed) for seed in range(20)]
    again = [pasted(pickle.loads(pickle.dumps(objects)), seed) for seed in reversed(range(20))][::-1]
    for (image, mask), (image_again, mask_again) in zip(first, again, strict=True):
        np.testing.assert_array_equal(image, image_again)
        np.testing.assert_array_equal(mask, mask_again)
    assert len({image.tobytes() for image, _ in first}) == 20
    pasted(objects, 2**63 - 1)


def test_a_list_chooses_the_images(voc: Path) -> None:
    assert VocObjects(voc).names == ("a", "b", "c")
    (voc / "ImageSets/Segmentation").mkdir(parents=True)
    (voc / "ImageSets/Segmentation/train.txt").write_text("c\nb\n")
    objects = VocObjects(voc)
    assert objects.names == ("c", "b")
    for seed in range(30):
        image, mask = pasted(objects, seed)
        assert colour_of(image, mask == 255) == {BLUE}


def test_grey_masks_with_numbers_will_do(voc: Path) -> None:
    for path in (voc / "SegmentationObject").iterdir():
        with PilImage.open(path) as file:
            numbers = np.asarray(file)
        PilImage.fromarray(numbers).save(path)
    image, mask = pasted(VocObjects(voc), 0)
    assert colour_of(image, mask == 255)


# --- folders that will not do ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["JPEGImages", "SegmentationObject"])
def test_another_layout(voc: Path, missing: str) -> None:
    (voc / missing).rename(voc / "elsewhere")
    with pytest.raises(UserError, match=rf"{missing}: .*--data\.init_args\.paste .*VOC2012"):
        VocObjects(voc)


def test_no_masks(voc: Path) -> None:
    for path in (voc / "SegmentationObject").iterdir():
        path.unlink()
    with pytest.raises(UserError, match=r"SegmentationObject: .*\.png"):
        VocObjects(voc)


def test_an_empty_list(voc: Path) -> None:
    (voc / "ImageSets/Segmentation").mkdir(parents=True)
    (voc / "ImageSets/Segmentation/train.txt").write_text("\n")
    with pytest.raises(UserError, match=r"train\.txt: .*--data\.init_args\.paste"):
        VocObjects(voc)


def test_a_missing_image(voc: Path) -> None:
    (voc / "JPEGImages/b.jpg").unlink()
    with pytest.raises(UserError, match=r"b\.jpg: .*mask"):
        VocObjects(voc)
    (voc / "ImageSets/Segmentation").mkdir(parents=True)
    (voc / "ImageSets/Segmentation/train.txt").write_text("a\nnone\n")
    with pytest.raises(UserError, match=r"none\.jpg: .*train\.txt"):
        VocObjects(voc)


def spoil(voc: Path, write: Callable[[Path], None]) -> VocObjects:
    for path in (voc / "SegmentationObject").iterdir():
        write(path)
    return VocObjects(voc)


def test_masks_of_another_size(voc: Path) -> None:
    objects = spoil(voc, lambda path: write_mask(path, np.ones((50, 70), np.uint8)))
    with pytest.raises(UserError, match=r"\.png: .*70×50.*140×100"):
        pasted(objects, 0)


@pytest.mark.parametrize("number", [0, 255])
def test_no_object(voc: Path, number: int) -> None:
    objects = spoil(voc, lambda path: write_mask(path, np.full((100, 140), number, np.uint8)))
    with pytest.raises(UserError, match=r"3 masks .*256 pixels"):
        pasted(objects, 0)


def test_masks_of_colours(voc: Path) -> None:
    objects = spoil(voc, lambda path: PilImage.new("RGB", (140, 100), RED).save(path))
    with pytest.raises(UserError, match=r"\.png: .*palette.*\(RGB\)"):
        pasted(objects, 0)


@pytest.mark.parametrize("damaged", [b"", b"\x89PNG\r\n\x1a\nno more"])
def test_damaged_masks(voc: Path, damaged: bytes) -> None:
    objects = spoil(voc, lambda path: print(path.write_bytes(damaged)))
    with pytest.raises(UserError, match=r"\.png: .*decoded.*object mask"):
        pasted(objects, 0)


# --- which scenes ----------------------------------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path: Path, make_video: Callable[..., Path]) -> Path:
    """Two videos; of the first, the first half of the labelled frames has no foreground."""
    root = tmp_path / "dataset"
    for name in ("bare", "full"):
        make_video(root, "baseline", name)
    for number in (21, 22, 23):
        path = root / f"baseline/bare/groundtruth/gt{number:06d}.png"
        mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        assert mask is not None
        cv2.imwrite(str(path), np.where(mask == 255, 170, mask))
    return root


def module(root: Path, **settings: Any) -> ScenesDataModule:
    settings = {"size": None, "num_workers": 0, "protocol": FirstHalf(), "batch_size": 6, **settings}
    return ScenesDataModule(settings.pop("inputs", (Image(), References(2))), root=root, **settings)


def test_foreground_is_looked_for(root: Path) -> None:
    bare, full = (SceneFrames(scene, None) for scene in CDnet2014().scenes(root))
    assert not has_foreground(bare, [21, 22, 23])
    assert has_foreground(bare, [21, 22, 23, 24])
    assert has_foreground(full, [21, 22, 23])
    assert not has_foreground(full, [])


def test_the_search_ends_at_the_first_foreground(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = SceneFrames(CDnet2014().scenes(root, ["full"])[0], None)
    read: list[int] = []
    monkeypatch.setattr(full, "mask", lambda number: read.append(number) or np.full((4, 4), 255, np.uint8))
    assert has_foreground(full, range(2_000))
    assert len(read) < 2_000


@pytest.mark.parametrize("workers", [0, 2])
def test_samples_of_bare_scenes_alone_get_objects(root: Path, voc: Path, workers: int) -> None:
    data = module(root, paste=voc, num_workers=workers, flip=0.5)
    plain = module(root, protocol=LabelBudget(3, "random"), flip=0.5)
    (batch,) = data.train_dataloader()
    assert sorted(batch["number"].tolist()) == [21, 21, 22, 22, 23, 23]
    for row, (scene, number) in enumerate(zip(batch["scene"].tolist(), batch["number"].tolist(), strict=True)):
        pixels = SceneFrames(plain.split.train.scenes[scene], None)
        image, mask = batch["image"][row].numpy(), batch["mask"][row].numpy()
        if pixels.scene.name == "full":
            np.testing.assert_array_equal(image, pixels.image(number))
            np.testing.assert_array_equal(mask, pixels.mask(number))
            continue
        assert (mask == 255).any()
        changed = (image != pixels.image(number)).any(-1)
        assert changed.any()
        assert np.isin(mask[changed], (170, 255)).all()
        colour_of(image, mask == 255)
        unpasted = mask == pixels.mask(number)
        np.testing.assert_array_equal(image[unpasted & (mask != 170)], pixels.image(number)[unpasted & (mask != 170)])
        known = {pixels.image(n).tobytes() for n in range(1, 21)}
        assert all(reference.numpy().tobytes() in known for reference in batch["references"][row])  # clean


def test_workers_and_stages_give_the_same(root: Path, voc: Path) -> None:
    (expected,) = module(root, paste=VocObjects(voc)).train_dataloader()
    plan = StagePlan(Span("one", ("a",), Stage(1, 6, 1.0), (Image(), References(2)), 6))
    for data in (module(root, paste=voc, num_workers=2), module(root, paste=voc, plan=plan)):
        (batch,) = data.train_dataloader()
        for key in ("image", "mask", "references", "number"):
            assert torch.equal(batch[key], expected[key])


def test_objects_are_augmented_with_their_frame(root: Path, voc: Path) -> None:
    (plain,) = module(root, paste=voc).train_dataloader()
    (mirrored,) = module(root, paste=voc, augment=A.Compose([A.HorizontalFlip(p=1)])).train_dataloader()
    assert torch.equal(mirrored["image"], plain["image"].flip(-2))
    assert torch.equal(mirrored["mask"], plain["mask"].flip(-1))


def test_evaluation_never_pastes(root: Path, voc: Path) -> None:
    data = module(root, paste=voc, inputs=(Image(),))
    for loader in (data.val_dataloader(), data.test_dataloader(), data.predict_dataloader()):
        for batch in loader:
            pixels = SceneFrames(data.split.test.scenes[batch["scene"]], None)
            for row, number in enumerate(batch["number"].tolist()):
                np.testing.assert_array_equal(batch["image"][row], pixels.image(number))
                assert "ground_truth" not in batch or (batch["ground_truth"][row].numpy() == pixels.truth(number)).all()


def test_nothing_to_paste_names_the_scene_and_the_option(root: Path) -> None:
    message = r"CDnet2014 baseline/bare: no foreground in its 3 training .*--data\.init_args\.paste="
    with pytest.raises(UserError, match=message):
        module(root).train_dataloader()
    with pytest.raises(UserError, match=message):
        module(root).prepare_data()
    assert module(root, scene="full").pasted == {}
    module(root).test_dataloader()  # a test needs none


def test_a_folder_that_is_not_needed_is_not_looked_at(root: Path, voc: Path) -> None:
    assert module(root, scene="full", paste=voc / "none").pasted == {}
    with pytest.raises(UserError, match=r"none/JPEGImages: "):
        module(root, paste=voc / "none").prepare_data()


def test_what_is_pasted_is_printed(root: Path, voc: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module(root, paste=voc).prepare_data()
    output = " ".join(capsys.readouterr().out.split())
    assert re.search(rf"baseline/bare: .*{voc}", output)


def test_protocols_that_paste_nothing_refuse_the_option(root: Path, voc: Path) -> None:
    with pytest.raises(UserError, match=r"data\.init_args\.paste: LabelBudget "):
        module(root, protocol=LabelBudget(3), paste=voc)
    assert module(root, protocol=LabelBudget(3)).pasted == {}


def test_on_the_command_line(root: Path, voc: Path, tiny: Path, tmp_path: Path, fails: Callable[[int], str]) -> None:
    options = [f"--config={tiny}", f"--data.init_args.root={root}", f"--run_dir={tmp_path / 'run'}"]
    options += ["--data.init_args.protocol=FirstHalf", "--trainer.max_epochs=1"]
    assert "baseline/bare: no foreground" in fails(main(["fit", *options]))
    assert main(["fit", *options, f"--data.init_args.paste={voc}"]) == 0
    assert f"paste: {voc}" in (tmp_path / "run/config.yaml").read_text()
    assert main(["test", *options, f"--data.init_args.paste={voc}"]) == 0
