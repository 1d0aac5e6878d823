"""What the parser says of values that do not fit: which argument, and what it takes."""

from __future__ import annotations

import pytest

from bgsub_lightning import data, datasets, splits, systems  # noqa: F401 (short names of classes)
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.parser import PlainParser
from bgsub_lightning.data import ScenesDataModule
from bgsub_lightning.systems.base import BgsModule
from bgsub_lightning.training.callbacks import EarlyStopping

SUBSET = "--data.init_args.protocol={class_path: Subset, init_args: {train: [a], test: [b], validation: "


@pytest.fixture(scope="module")
def parser() -> PlainParser:
    systems.BmnBsn, systems.FgSegNet  # noqa: B018 (which imports them, for their short names)
    made = PlainParser(exit_on_error=False, prog="bgsub fit")
    made.add_subclass_arguments(BgsModule, "model", required=False)
    made.add_subclass_arguments(ScenesDataModule, "data", required=False)
    made.add_class_arguments(EarlyStopping, "early_stopping")
    return made


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--model.init_args.lr=big", "model.init_args.lr: 'big' is not a number."),
        ("--model.init_args.labels=all", "model.init_args.labels: 'all' is not one of TRAINING, BMN_BSN, "),
        ("--model.init_args.labels={a: 1}", "model.init_args.labels: "),
        ("--model.init_args.nope=3", "model.init_args.nope: there is no such argument."),
        ("--model.init_args={lr: 1, nope: 3}", "model.init_args.nope: there is no such argument."),
        ("--model.init_args=3", "model: "),
        ("--model={class_path: 3}", "model: "),
        ("--data.init_args.flip=nan", "data.init_args.flip: 'nan' is not a number."),
        ("--data.init_args.size=320", "data.init_args.size: '320' is not a list."),
        ("--data.init_args.size=[64]", "data.init_args.size: '[64]' is not a list of 2 values."),
        ("--data.init_args.crop.size=abc", "data.init_args.crop.size: 'abc' is not a whole number."),
        ("--data.init_args.crop={class_path: Crop, init_args: {size: abc}}", "data.init_args.crop.size: 'abc' "),
        ("--data.init_args.protocol=Subste", "data.init_args.protocol: there is no class 'Subste'"),
        (
            "--data.init_args.protocol={class_path: Subset, nope: 3}",
            "data.init_args.protocol: a class ",
        ),
        (f"{SUBSET}{{scenes: 1.5}}}}}}", "data.init_args.protocol: validation.scenes: '1.5' is not a whole number"),
        ("--data.init_args.reader={class_path: LIMU, init_args: {frames: 3}}", "data.init_args.reader: frames: '3' "),
        (
            "--data.init_args.transforms=[{class_path: Sway, init_args: {jitter: [1]}}]",
            "data.init_args.transforms: jitter: '[1]' is not a list of 2 values.",
        ),
        (
            "--data.init_args.transforms=[{class_path: Sway, init_args: {nope: 1}}]",
            "data.init_args.transforms: nope: there is no such argument.",
        ),
        ("--early_stopping={patience: a}", "early_stopping.patience: 'a' is not a whole number."),
        ("--early_stopping={mode: x}", "early_stopping.mode: 'x' is not one of 'min', 'max'."),
    ],
)
def test_the_argument_is_named(parser: PlainParser, option: str, message: str) -> None:
    with pytest.raises(UserError) as raised:
        parser.parse_args(["--model=BmnBsn", "--data=ScenesDataModule", "--data.init_args.protocol=SceneWise", option])
    assert str(raised.value).startswith(message)
    of_class = message.partition(".init_args")[0]
    shows = f"--{of_class}.help CLASS" if of_class in ("model", "data") else "--help"
    assert str(raised.value).endswith(f"All options: bgsub fit {shows}")


def test_arguments_of_settings_inside_of_a_class_are_named(parser: PlainParser) -> None:
    for option, message in (
        ("--model.init_args.pretrained={weights: w.pth, sha256: [1]}", "model.init_args.pretrained.sha256: '[1]' "),
        ("--model.init_args.pretrained.nope9=1", "model.init_args.pretrained.nope9: there is no such argument."),
    ):
        with pytest.raises(UserError) as raised:
            parser.parse_args(["--model=FgSegNet", option])
        assert str(raised.value).startswith(message)
