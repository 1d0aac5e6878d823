"""Parsers whose errors are for users: what is wrong, without a page of usage."""

from __future__ import annotations

from typing import NoReturn

from jsonargparse import ArgumentParser
from lightning.pytorch.cli import LightningArgumentParser

from bgsub_lightning.errors import UserError

_NOISE = ("Does not validate against", "Subtypes:", "Errors:", "- Expected a <class 'NoneType'>", "Given value")


class _Plain(ArgumentParser):
    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise what the user can mend.

        Raises:
            UserError: Always.
        """
        lines = [line for line in message.splitlines() if line.strip() and not line.strip().startswith(_NOISE)]
        lines = [line for line in lines if "All options:" not in line]  # of a parser inside this one
        raise UserError("\n".join(lines) + f"\nAll options: {self.prog.replace(' [options]', '')} --help") from ex


class CommandParser(_Plain):
    """Parser of a typed function."""


class TrainingParser(_Plain, LightningArgumentParser):
    """Parser of Lightning's commands."""
