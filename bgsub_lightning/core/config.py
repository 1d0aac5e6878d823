"""Experiments that include others.

``config: bmn_bsn.yaml`` at the top of an experiment takes everything from that file, relative to its own folder or else
among the experiments that ship, and what follows changes single values; so it does at the top of one of its sections,
such as ``trainer``. jsonargparse reads that key as well, but checks each file alone, where an argument without its
class has no meaning.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.records import read_yaml
from bgsub_lightning.core.shipped import find_file

CAMPAIGN = "campaign"
"""The key of an experiment's members, which is read by the command of that name alone."""

_FILE = {"--config", "-c"}


def expand(options: Sequence[str]) -> tuple[list[str], str | None]:
    """Replace each ``--config FILE`` whose file includes others by one configuration, and put files first.

    A file that does not exist is looked up among the experiments that ship. Of several files each changes single values
    of those before it. An option beats a file wherever it stands.

    Args:
        options: Options of a command.

    Returns:
        The options, and the stems of the configuration files with ``_`` between them if there is one: a run of other
        data or other values is another run.

    Raises:
        UserError: If a file is missing, is no YAML, or includes itself.
    """
    expanded: list[str] = []
    names: list[str] = []
    rest = iter(files_first(options))
    for option in rest:
        key, equals, value = option.partition("=")
        if key not in _FILE:
            expanded.append(option)
            continue
        try:
            file = find_file(Path(value if equals else next(rest, "")), "experiments")
        except UserError as error:
            raise UserError(f"--config: {error}") from error
        content = _read(file)
        sections = [value for value in content.values() if isinstance(value, dict)]
        is_plain = not any({"config", CAMPAIGN} & each.keys() for each in (content, *sections))
        expanded += ["--config", str(file) if is_plain else yaml.safe_dump(merged_config(file))]
        names.append(file.stem)
    return expanded, "_".join(names) or None


def files_first(options: Sequence[str]) -> list[str]:
    """Put configuration files before all other options, which the parser would let a later file overwrite.

    Example:
        >>> files_first(["--every=3", "--config", "a.yaml", "--pool", "9"])
        ['--config', 'a.yaml', '--every=3', '--pool', '9']
    """
    files: list[str] = []
    others: list[str] = []
    rest = iter(options)
    for option in rest:
        if option in _FILE:
            files += [option, *itertools.islice(rest, 1)]
        else:
            (files if option.partition("=")[0] in _FILE else others).append(option)
    return files + others


def merged_config(*files: Path) -> dict[str, Any]:
    """Return the content of files over that of the files they include, with their parts read.

    Args:
        *files: The files, or the names of experiments that ship; each changes single values of those before it.

    Raises:
        UserError: If a file is missing, is no YAML, or includes itself.
    """
    content = _laid_over(files)
    content.pop(CAMPAIGN, None)
    return content


def campaign_of(*files: Path) -> Any:
    """Return what files, or those they include, say under the key ``campaign``; empty if there is none.

    Args:
        *files: The files, or the names of experiments that ship; each changes single values of those before it.

    Raises:
        UserError: If a file is missing, is no YAML, or includes itself.
    """
    return _laid_over(files).get(CAMPAIGN, {})


def flat(content: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Return nested mappings as one, under keys with dots between.

    Example:
        >>> flat({"model": {"init_args": {"lr": 0.1}}, "name": None})
        {'model.init_args.lr': 0.1, 'name': None}
    """
    found: dict[str, Any] = {}
    for name, value in content.items():
        found |= flat(value, f"{above}{name}.") if isinstance(value, Mapping) else {f"{above}{name}": value}
    return found


def _laid_over(files: Sequence[Path]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for file in files:
        content = _over(content, _merged(find_file(file, "experiments")))
    return content


def _merged(file: Path, including: tuple[Path, ...] = ()) -> dict[str, Any]:
    if file.resolve() in including:
        raise UserError(f"{file}: includes itself by its key `config`.")
    return _resolved(_read(file), file, (*including, file.resolve()), is_top=True)


def _resolved(content: dict[str, Any], file: Path, including: tuple[Path, ...], is_top: bool) -> dict[str, Any]:
    """Lay what a file or one of its sections says over what it includes."""
    given = content.pop("config", None) or []
    bases = [given] if isinstance(given, str) else given
    if not isinstance(bases, list) or not all(isinstance(base, str) for base in bases):
        raise UserError(f"{file}: config: must name a file, or a list of files; got {given!r}.")
    result: dict[str, Any] = {}
    for base in bases:
        result = _over(result, _merged(find_file(Path(base), "experiments", file.parent), including))
    for key, value in content.items():
        if is_top and isinstance(value, str) and value.endswith((".yaml", ".yml")):
            value = _merged(file.parent / value, including)
        elif is_top and isinstance(value, dict):
            value = _resolved(value, file, including, is_top=False)
        result = _over(result, {key: value})
    return result


def _read(file: Path) -> dict[str, Any]:
    try:
        content = read_yaml(file)
    except FileNotFoundError:
        raise UserError(f"{file}: there is no such file.") from None
    if not isinstance(content, dict):
        raise UserError(f"{file}: must hold keys and values, such as `model:` and `data:`.")
    return content


def _over(base: Any, top: Any) -> Any:
    """Lay one configuration over another; another class starts from its own defaults."""
    if not isinstance(base, dict) or not isinstance(top, dict):
        return top
    if top.get("class_path", base.get("class_path")) != base.get("class_path"):
        return top
    return base | {key: _over(base.get(key), value) for key, value in top.items()}
