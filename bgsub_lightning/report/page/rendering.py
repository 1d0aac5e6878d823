"""Templates of pages, and the filters that they use."""

from __future__ import annotations

import os
import re
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from bgsub_lightning.core.version import __version__
from bgsub_lightning.report.page.tables import LEAK_CLASSES, laid_out
from bgsub_lightning.report.series import FinishedRun


class Pages:
    """The templates of this folder; everything that comes from outside is escaped."""

    def __init__(self) -> None:
        self._environment = jinja2.Environment(
            autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, loader=jinja2.FunctionLoader(_resource)
        )
        self._environment.filters |= {"code": _code, "laid_out": laid_out, "facts": _facts, "breakable": _breakable}
        self._environment.globals |= {
            "leak_class": LEAK_CLASSES.__getitem__,
            "version": __version__,
            "css": Markup(_resource("report.css")),
        }

    def render(self, template: str, content: dict[str, Any]) -> str:
        """Return a page."""
        return self._environment.get_template(template).render(content)


def _resource(name: str) -> str:
    return (resources.files(__package__ or "") / name).read_text(encoding="utf-8")


def _code(text: str) -> Markup:
    """Set what stands between backquotes in the type of commands, everything escaped."""
    parts = [escape(part) for part in text.split("`")]
    if len(parts) % 2 == 0:
        return escape(text)
    return Markup("").join(Markup("<code>{}</code>").format(part) if i % 2 else part for i, part in enumerate(parts))


def _breakable(text: str) -> Markup:
    """Say where a long name may be broken: after `_` and `/`, and before a capital letter within a word."""
    return Markup("<wbr>").join(re.split(r"(?<=[_/])(?=\w)|(?<=[a-z])(?=[A-Z])", text))


def _facts(run: FinishedRun) -> dict[str, str]:
    """What a run's number rests on; places of the machine are cut short, because pages are passed on."""
    result = run.result
    test = run.folder / "test.yaml"
    weights = f" --ckpt_path {_short(result.checkpoint)}" if result.checkpoint else ""
    facts = {
        "system": result.system,
        "dataset": result.dataset,
        "origin": result.origin,
        "protocol": result.protocol,
        "tested on": result.leakage,
        "videos, frames": f"{len(result.videos)}, {sum(result.frames.values()):,}",
        "fold": str(result.fold),
        "seed": str(result.seed),
        "missing masks": f"{sum(result.missing.values()):,}" if result.missing else "",
        "threshold": "" if result.threshold is None else f"{result.threshold:g}",
        "checkpoint": _short(result.checkpoint) if result.checkpoint else "none",
        "remark": result.remark,
        "device": result.device,
        "frames per second": f"{result.frames_per_second:.1f}" if result.frames_per_second else "",
        "parameters": f"{result.parameters:,}" if result.parameters else "",
        "GFLOP per frame at 320×240": f"{result.gflop_per_frame:.2f}" if result.gflop_per_frame else "",
        "versions": ", ".join(f"{package} {version}" for package, version in result.versions.items()),
        "command": f"python -m bgsub_lightning test --config {_short(str(test))}{weights}" if test.is_file() else "",
    }
    return {name: value for name, value in facts.items() if value}


def _short(path: str) -> str:
    parts = Path(os.path.relpath(path)).parts
    return str(Path(*parts)) if ".." not in parts and len(parts) <= 4 else "/".join(("…", *parts[-3:]))
