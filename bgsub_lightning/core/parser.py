"""Parsers whose errors are for users: what is wrong, without a page of usage."""

from __future__ import annotations

from types import UnionType
from typing import Any, NoReturn, Union, get_args, get_origin

import yaml
from jsonargparse import ArgumentParser, get_loader, set_loader

from bgsub_lightning.core.compat.jsonargparse import options_of, plain, reorder_type, unknown_option
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.records import check_yaml
from bgsub_lightning.core.text import closest


def _load(text: str) -> Any:
    """Read YAML of the command line as jsonargparse does, within the bounds of our own."""
    check_yaml(text, "YAML")
    try:
        return _load_yaml(text)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:  # a value that does not fit its tag
        raise yaml.YAMLError(str(error)) from error


_load_yaml = get_loader("yaml")
set_loader("yaml", _load, exceptions=(yaml.YAMLError,))


class PlainParser(ArgumentParser):
    """Parser that raises what the user can mend."""

    def add_argument(self, *names: Any, **settings: Any) -> Any:
        """Add an argument; a whole number that is written without a point stays one, if its type allows both."""
        action = super().add_argument(*names, **settings)
        reorder_type(action, _int_before_float)
        return action

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise what the user can mend.

        Raises:
            UserError: Always.
        """
        text, options = plain(message), options_of(self)
        if unknown := unknown_option(message):
            text += "".join(f"\nDid you mean {option}?" for option in closest(unknown, options))
        of_class = next((o for o in options if o.endswith(".help") and text.startswith(f"{o[2:-5]}.init_args.")), None)
        shows = f"{of_class} CLASS" if of_class else "--help"
        raise UserError(f"{text}\nAll options: {self.prog.replace(' [options]', '')} {shows}") from ex


def _int_before_float(kind: Any) -> Any:
    """Reorder a union of both, of which the first that fits takes a value.

    `typing` takes ``Optional[Union[int, float]]`` and ``Optional[Union[float, int]]`` for equal and may return the one
    for the other, from its cache. But 1.0 is all batches to Lightning, and 1 is one.
    """
    kinds = get_args(kind)
    if get_origin(kind) not in (Union, UnionType) or int not in kinds or float not in kinds:
        return kind
    if kinds.index(int) < kinds.index(float):
        return kind
    swapped = tuple(int if each is float else float if each is int else each for each in kinds)
    return Union[swapped]  # noqa: UP007 (| may meet that cache again)
