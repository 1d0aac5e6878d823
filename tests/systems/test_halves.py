"""Each system has a half that answers without Lightning, which inference finds by its name."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

import pytest
from lightning.pytorch import LightningModule

from bgsub_lightning import systems
from bgsub_lightning.systems import BgsModule, BgsSystem, StagedModule, SuccessiveModule, UntrainedModule

SHARED = (StagedModule, SuccessiveModule, UntrainedModule)


def of_the_package(kind: type[BgsModule]) -> Iterator[type[BgsModule]]:
    for each in kind.__subclasses__():
        if each.__module__.startswith("bgsub_lightning.") and each not in SHARED:
            yield each
        yield from of_the_package(each)


for info in pkgutil.walk_packages(systems.__path__, f"{systems.__name__}."):
    importlib.import_module(info.name)
SYSTEMS = {each.__name__: each for each in of_the_package(BgsModule)}


def test_they_are_those_that_the_package_exports() -> None:
    exported = [getattr(systems, name) for name in systems.__all__ if name != "identity"]
    concrete = {each for each in exported if issubclass(each, BgsModule)} - {BgsModule, *SHARED}
    assert {*SYSTEMS.values()} == concrete
    assert len(SYSTEMS) >= 10


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_system_is_its_half_with_a_trainer(name: str) -> None:
    whole, half = SYSTEMS[name], getattr(systems, f"{name}System")
    assert issubclass(whole, half)
    assert issubclass(half, BgsSystem)
    assert not issubclass(half, LightningModule)
    assert {*vars(whole)} <= {"__module__", "__doc__"}  # so that both answer alike
    of_half = importlib.import_module(f"{half.__module__.rpartition('.')[0]}")
    assert (getattr(of_half, name), getattr(of_half, f"{name}System")) == (whole, half)
