"""Packages that import some of their names when these are first used."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Collection, Mapping
from typing import Any


def when_used(package: str, names: Mapping[str, Collection[str]]) -> Callable[[str], Any]:
    """Make the ``__getattr__`` of a package, where ``TYPE_CHECKING`` is false; where it is true the names are imported.

    Args:
        package: Its import path.
        names: Module of the package → the names that are imported from it.

    Returns:
        A function of the name, which raises :class:`AttributeError` for others.
    """
    modules = {name: module for module, of_module in names.items() for name in of_module}

    def attribute(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        found = getattr(importlib.import_module(f"{package}.{modules[name]}"), name)
        setattr(sys.modules[package], name, found)  # where it is found from now on
        return found

    return attribute
