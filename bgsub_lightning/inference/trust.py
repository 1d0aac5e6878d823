"""Which classes the record of a file may name: those of this package, and of modules that the user names."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from bgsub_lightning.core.compat.jsonargparse import import_only
from bgsub_lightning.core.errors import UserError

_PACKAGE = __name__.partition(".")[0]


def named_modules(option: str) -> list[str]:
    """Return the modules that the option ``--modules`` of a command names, with commas between them."""
    return [word.strip() for word in option.strip("[] ").split(",") if word.strip()]


def import_modules(named: Sequence[str]) -> tuple[str, ...]:
    """Import the modules whose classes the user allows a file to name.

    Args:
        named: Their import paths, or their files, such as ``examples/own_network.py``, which are imported under the
            file's name.

    Returns:
        Their import paths.

    Raises:
        UserError: If there is no such module, or it cannot be imported.
    """
    return tuple(_imported(name) for name in named)


def require_trusted(record: Any, modules: Sequence[str], source: Path) -> None:
    """Check, before anything is imported, that a file names no class of elsewhere.

    Args:
        record: What the file says, of nested dictionaries and lists.
        modules: Import paths of modules that the user has named.
        source: The file.

    Raises:
        UserError: If it does.
    """
    for path in _class_paths(record):
        if isinstance(path, str) and "." in path and not any(path.startswith(f"{m}.") for m in (_PACKAGE, *modules)):
            module = path.rpartition(".")[0]
            raise UserError(
                f"{source}: names a class outside of {_PACKAGE}; got class_path {path}. If you trust the file, allow "
                f"it by --modules {module}, or by the module's file, from any folder: --modules FOLDER/"
                f"{module.replace('.', '/')}.py (in Python modules=[…])."
            )


def trusted(modules: Sequence[str]) -> AbstractContextManager[None]:
    """Let jsonargparse import nothing but classes of this package and of these modules, also where it looks itself."""
    return import_only([_PACKAGE, *modules])


def _class_paths(record: Any) -> Iterator[Any]:
    if isinstance(record, dict):
        if "class_path" in record:
            yield record["class_path"]
        for value in record.values():
            yield from _class_paths(value)
    elif isinstance(record, list):
        for value in record:
            yield from _class_paths(value)


def _imported(name: str) -> str:
    file = Path(name).expanduser()
    module = file.stem if file.suffix == ".py" else name
    if not all(part.isidentifier() for part in module.split(".")):
        raise UserError(f"--modules: must be import paths, or files of Python; got {name!r}.")
    if file.suffix == ".py" and not file.is_file():
        raise UserError(f"--modules: there is no such file; got {name}.")
    try:
        if file.suffix == ".py":
            _load(module, file)
        else:
            importlib.import_module(module)
    except UserError:
        raise
    except Exception as error:  # whatever a module of the user's raises
        raise UserError(f"--modules: cannot be imported ({type(error).__name__}: {error}); got {name}.") from error
    return module


def _load(module: str, file: Path) -> None:
    """Import a file as a module, unless it is that already."""
    if module in sys.modules:
        if Path(getattr(sys.modules[module], "__file__", None) or "").resolve() != file.resolve():
            raise UserError(f"--modules: another module has the name {module}; got {file}. Rename the file.")
        return
    spec = importlib.util.spec_from_file_location(module, file)
    assert spec is not None
    assert spec.loader is not None
    sys.modules[module] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(sys.modules[module])
    except BaseException:
        del sys.modules[module]
        raise
