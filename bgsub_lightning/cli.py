"""The dispatcher: which command is which function. Only the chosen one is imported, so that help is instant."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from itertools import takewhile

from bgsub_lightning.commands import COMMANDS
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.program import PROGRAM
from bgsub_lightning.core.text import one_line, printable
from bgsub_lightning.core.version import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: The command and its options; ``None``: those of the process.

    Returns:
        The exit status: 0, 2 for what the user can mend, or 130 after Ctrl-C.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in {"-h", "--help", "help"}:
        print(_help())
        return 0
    if arguments[0] == "--version":
        print(f"bgsub_lightning {__version__}")
        return 0
    command, *options = arguments
    if command not in COMMANDS:
        print(f"error: there is no command {command!r}.\n\n{_help()}", file=sys.stderr)
        return 2
    name, _, takes_options = COMMANDS[command][0].partition(":")
    try:
        module = importlib.import_module(f"bgsub_lightning.{name}")
        if takes_options:
            getattr(module, takes_options)(command, options)
        else:
            run_command(command, getattr(module, command), options)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        message = _message(error)
        if message is None:
            raise
        print(f"error: {printable(message)}", file=sys.stderr)
        return 2
    return 0


def run_command(name: str, function: Callable[..., None], options: Sequence[str]) -> None:
    """Run a typed function with options from the command line.

    Words before the first option are its first argument, such as ``report RUN RUN``. A switch may stand alone:
    ``--by_video`` is ``--by_video true``.

    Raises:
        UserError: If the options do not fit, or the function raises it.
    """
    from jsonargparse import auto_cli

    from bgsub_lightning.core.config import files_first
    from bgsub_lightning.core.parser import PlainParser

    parameters = inspect.signature(function).parameters
    options = _joined(options)
    words = list(takewhile(lambda option: not option.startswith("-"), options))
    flags = {f"--{parameter.name}" for parameter in parameters.values() if parameter.annotation in (bool, "bool")}
    pairs = zip(options, [*options[1:], "-"], strict=False)
    rest = [f"{option}=true" if option in flags and after.startswith("-") else option for option, after in pairs]
    lists = {f"--{each.name}" for each in parameters.values() if str(each.annotation).startswith("list[str]")}
    rest = files_first(_listed(rest[len(words) :], lists))
    if words:
        parameter = next(iter(parameters.values()))
        value = json.dumps(words) if str(parameter.annotation).startswith("list") else " ".join(words)
        rest = [f"--{parameter.name}", value, *rest]
    about = (inspect.getdoc(function) or "").partition("\n\nArgs:")[0].partition("\n\nRaises:")[0]
    auto_cli(
        function,
        args=rest,
        prog=f"{PROGRAM} {name}",
        parser_class=PlainParser,
        as_positional=False,
        description=about,
    )


def _joined(options: Sequence[str]) -> list[str]:
    """Write a value that begins with a negative number as part of its option, which argparse takes for another.

    Example:
        >>> _joined(["--zone", "-10,0,5,9", "--out", "-x"])
        ['--zone=-10,0,5,9', '--out', '-x']
    """
    joined: list[str] = []
    for option in options:
        if re.match(r"-\.?\d", option) and joined and re.fullmatch(r"--\w+", joined[-1]):
            joined[-1] += f"={option}"
        else:
            joined.append(option)
    return joined


def _listed(options: Sequence[str], lists: set[str]) -> list[str]:
    """Write words with commas as a list where one is expected: ``--scene a,b`` is ``--scene '[a, b]'``.

    Example:
        >>> _listed(["--scene", "a/b,c", "--taus=x", "--scene=[d]"], {"--scene"})
        ['--scene', '["a/b", "c"]', '--taus=x', '--scene=[d]']
    """
    listed: list[str] = []
    for option in options:
        name, equals, value = option.partition("=")
        if equals and name in lists:
            listed.append(f"{name}={_as_list(value)}")
        else:
            listed.append(_as_list(option) if listed and listed[-1] in lists else option)
    return listed


def _as_list(value: str) -> str:
    words = [word.strip() for word in value.split(",")]
    return value if value.startswith(("[", "-")) or value in {"", "null"} else json.dumps(words)


def _message(error: Exception) -> str | None:
    """Return what is meant for the user; ``None`` if the error may be a mistake of the program.

    A file that cannot be used and a full memory are the user's, wherever they come up.
    """
    text = one_line(str(error))
    if isinstance(error, UserError):  # a loader's worker wraps it in its traceback
        return str(error).rpartition(f"{UserError.__module__}.{UserError.__qualname__}: ")[2].strip()
    if isinstance(error, OSError) and error.errno is not None:
        of = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
        return f"{of}cannot be used; got {error.strerror or text!r}. Name another file or folder, or repair this one."
    if isinstance(error, ValueError) and "embedded null" in text:
        return "a name must not hold a zero byte. Remove it."
    if isinstance(error, UnicodeDecodeError):
        return f"a file is not UTF-8; got {error.object[error.start : error.end]!r}. Save it as UTF-8."
    is_pytorch = type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in text
    if isinstance(error, MemoryError) or is_pytorch:
        return f"memory: is too small ({text or 'an allocation failed'}). Lower sizes, widths or the batch size."
    return None


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = "\n".join(f"  {name:{width}}  {purpose}" for name, (_, purpose) in COMMANDS.items())
    return (
        f"usage: {PROGRAM} COMMAND [OPTIONS]\n\n"
        "The experiment suite of deep background subtraction.\n\n"
        f"commands:\n{lines}\n\n"
        f"Each command has its own help: {PROGRAM} COMMAND --help\n"
        f"To start: {PROGRAM} demo\n"
        f"An experiment: {PROGRAM} fit --config experiments/bmn_bsn_fold1.yaml"
    )
