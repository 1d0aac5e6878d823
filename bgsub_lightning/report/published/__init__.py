"""Numbers that papers have published, with their source: facts, as they are printed.

One file for each paper; ``methods.yaml`` holds what is known of the methods that they compare, ``categories.yaml``
their names of CDnet2014's categories.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any, Literal, cast

import yaml

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.text import suggestion
from bgsub_lightning.evaluation.extent import OVERALL
from bgsub_lightning.splits import Leakage

Kind = Literal["unsupervised", "zero-shot", "semi-supervised", "supervised"]
"""How a method is trained; zero-shot: on other scenes than the datasets have."""


_PAPERS = ("cdn_medal", "bmn_bsn", "recon_mcfcn", "crossnet", "siamese", "unseen_records")
_RATIOS = {"recall", "specificity", "fpr", "fnr", "precision", "f_measure", "mean_dice"}
_ABSENT = "–"
_EVERY = "*"
_UNKNOWN = "not stated"


@dataclass(frozen=True)
class Printed:
    """A number as a paper prints it.

    Attributes:
        text: Its digits.
        scale: What makes it our metric: 0.01 where percent are printed that ours are fractions of.
    """

    text: str
    scale: float = 1.0

    @property
    def value(self) -> float:
        """Our metric: a fraction; PWC in percent; speed in frames per second."""
        return round(float(self.text) * self.scale, self.digits)

    @property
    def digits(self) -> int:
        """Number of decimals of :attr:`value` that are known."""
        decimals = len(self.text.partition(".")[2])
        return decimals if self.scale == 1 else decimals + 2


@dataclass(frozen=True)
class PublishedRow:
    """A method in a table.

    Attributes:
        method: Its name, as it is printed.
        kind: How it is trained; ``None`` if that is not known.
        system: The class of our module that follows it; empty if there is none.
        leakage: What its training has seen of the tested scenes; ``None`` if that is not known.
        protocol: Which frames train and test, in a few words; empty if that is not known.
        averaging: How its metrics come about: one of :data:`bgsub_lightning.metrics.Averaging`, or in words what ours
            has no like of; ``None`` if that is not known.
        numbers: (part, metric) → number. A part is a category of CDnet2014 (its folder's name), a sequence of another
            dataset, or :data:`OVERALL`; a metric is one of :data:`bgsub_lightning.metrics.METRICS` and
            :data:`bgsub_lightning.metrics.DICE_METRICS`, or ``frames_per_second``.
    """

    method: str
    kind: Kind | None
    system: str
    leakage: Leakage | None
    protocol: str
    averaging: str | None
    numbers: Mapping[tuple[str, str], Printed]


@dataclass(frozen=True)
class PublishedTable:
    """A table of a paper.

    Attributes:
        paper: Short name of the paper.
        table: Number of the table, such as ``table III``, or the place in the text.
        about: What it shows.
        setup: Image size and device, of a table of speeds; empty otherwise.
        citation: Authors, title, where it appeared.
        dataset: Name of the dataset's reader.
        percent: Whether ratios are printed in percent.
        notes: Known errors, omissions and inconsistencies.
        rows: Its methods; empty where the text of the paper has lost them.
        parts: Its categories or sequences, in the order of the paper, :data:`OVERALL` among them.
        metrics: Its metrics, in the order of the paper.
        printed_parts: Part → how the paper calls it.
    """

    paper: str
    table: str
    about: str
    setup: str
    citation: str
    dataset: str
    percent: bool
    notes: tuple[str, ...]
    rows: tuple[PublishedRow, ...]
    parts: tuple[str, ...]
    metrics: tuple[str, ...]
    printed_parts: Mapping[str, str]

    @property
    def source(self) -> str:
        """Paper and table, as notes name them."""
        return f"{self.paper}, {self.table}"


def published(dataset: str | None = None, method: str | None = None) -> list[PublishedTable]:
    """Return the published tables, or those rows of them that are asked for.

    Args:
        dataset: Tables of this dataset alone, by the name of its reader.
        method: Rows of this method alone, by any of its spellings (upper and lower case are the same).

    Returns:
        The tables, in the order of the papers; those without a row that is asked for are left out. Without a method,
        tables whose metrics are lost are among them, with their notes.

    Raises:
        UserError: If there is no such dataset or method.

    Example:
        >>> [table.source for table in published("LIMU")]
        ['CrossNet, table III']
        >>> [row.numbers["overall", "f_measure"].text for row in published("LIMU", method="SuBSENSE")[0].rows]
        ['0.6753']
    """
    tables = [table for name in _PAPERS for table in _read(name)]
    dataset = _known("dataset", dataset, [table.dataset for table in tables])
    method = _known("method", method, [row.method for table in tables for row in table.rows])
    found = [table for table in tables if dataset in (None, table.dataset)]
    if method is None:
        return found
    spellings = {method, *_methods().get(method, {}).get("names", ())}
    found = [replace(each, rows=tuple(row for row in each.rows if row.method in spellings)) for each in found]
    return [table for table in found if table.rows]


def category_codes() -> dict[str, tuple[str, ...]]:
    """Return how papers call the categories of CDnet2014: folder → their codes and names.

    Example:
        >>> category_codes()["lowFramerate"]
        ('LFR', 'LFM', 'Low frame rate')
    """
    return {folder: tuple(names) for folder, names in _yaml("categories").items()}


def _yaml(name: str) -> Any:
    """Read a file, each number as its digits."""
    return yaml.load(files(__name__).joinpath(f"{name}.yaml").read_text(), Loader=yaml.BaseLoader)


@cache
def _methods() -> dict[str, dict[str, Any]]:
    """Facts about each method, by each of its spellings."""
    return {name: fields for fields in _yaml("methods") for name in fields["names"]}


@cache
def _read(name: str) -> tuple[PublishedTable, ...]:
    paper = _yaml(name)
    common = {key: value for key, value in paper.items() if key != "tables"}
    return tuple(_table({**common, **table}) for table in paper["tables"])


def _table(content: Mapping[str, Any]) -> PublishedTable:
    """Bring one of the three forms of a table into one.

    ``metric``: a row is a method, a column a part. ``part``: a row is a method, a column a metric. ``method``: a row is
    a part, a column a metric.
    """
    percent = content.get("percent") == "true"
    numbers: dict[str, dict[tuple[str, str], Printed]] = {}
    folders = {name: folder for folder, names in category_codes().items() for name in names} | {"Overall": OVERALL}
    printed_parts: dict[str, str] = {}
    for row, line in content["rows"].items():
        cells = line.split()
        for column, text in zip(content["columns"], cells, strict=True):
            part, metric = content.get("part", row), content.get("metric", column)
            if "metric" in content:
                part = column
            printed_parts[folders.get(part, part)] = part
            if text != _ABSENT:
                scale = 0.01 if percent and metric in _RATIOS else 1.0
                of_method = numbers.setdefault(content.get("method", row), {})
                of_method[folders.get(part, part), metric] = Printed(text, scale)
    keys = [key for of_method in numbers.values() for key in of_method]
    return PublishedTable(
        paper=content["paper"],
        table=content["table"],
        about=content["about"],
        setup=content.get("setup", ""),
        citation=content["citation"],
        dataset=content["dataset"],
        percent=percent,
        notes=tuple(content.get("notes", ())),
        rows=tuple(_row(method, of_method, content) for method, of_method in numbers.items()),
        parts=tuple(printed_parts),
        metrics=tuple(dict.fromkeys(metric for _, metric in keys)),
        printed_parts=printed_parts,
    )


def _row(method: str, numbers: dict[tuple[str, str], Printed], content: Mapping[str, Any]) -> PublishedRow:
    """Say what is known of a method: in this table, else by the method itself, else by the paper whose own it is."""
    known = _methods().get(method, {"kind": "supervised", "system": content.get("system", "")})
    kind = known["kind"]
    untrained = kind == "unsupervised"
    leakages, protocols = content.get("leakage", {}), content.get("protocols", {})
    averagings = content.get("averagings", {})
    averaging = averagings.get(method, averagings.get(_EVERY, _UNKNOWN))
    leakage = leakages.get(method) or (
        "unseen scenes" if untrained else leakages.get(_EVERY) or known.get("leakage", _UNKNOWN)
    )
    protocol = protocols.get(method) or (
        "no training" if untrained else protocols.get(_EVERY) or known.get("protocol", "")
    )
    return PublishedRow(
        method=method,
        kind=cast(Kind, kind),
        system=known.get("system", ""),
        leakage=None if leakage == _UNKNOWN else cast(Leakage, leakage),
        protocol="" if protocol == _UNKNOWN else protocol,
        averaging=None if averaging == _UNKNOWN else averaging,
        numbers=numbers,
    )


def _known(what: str, given: str | None, there: Sequence[str]) -> str | None:
    """Find a name without regard to upper and lower case."""
    if given is None:
        return None
    names = {name.lower(): name for name in there}
    if given.lower() in names:
        return names[given.lower()]
    raise UserError(f"{what}: no published number is of {given!r}. {suggestion(given, there)}")
