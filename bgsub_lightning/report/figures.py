"""Figures, drawn by matplotlib: how they look, and those of training and speed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.files import atomic_write
from bgsub_lightning.core.text import one_line
from bgsub_lightning.report.learning import Curve, thinned

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5195", "#5b5b5b", "#8c6d1f", "#c0392b")
"""Okabe and Ito's colours, which people with any colour vision can distinguish, and some more."""

DASHES = ("-", "--", "-.", ":")


def colour(place: int) -> str:
    """Return the colour of the system that stands at a place of the page."""
    return COLOURS[place % len(COLOURS)]


def curves_figure(
    path: Path,
    curves: Mapping[str, tuple[int, Curve]],
    label: str,
    unit: bool = False,
    logarithmic: bool = False,
) -> None:
    """Draw curves over the steps of training.

    Args:
        path: The SVG file.
        curves: Name in the legend → place of its system, by which it is coloured, and its curve.
        label: What is shown.
        unit: Whether the values lie in [0, 1].
        logarithmic: Whether the axis is logarithmic, where all values are positive.
    """
    with figure(path, path.parent.parent) as axes:
        shown = {name: (place, thinned(curve)) for name, (place, curve) in curves.items()}
        seen: dict[int, int] = {}
        for name, (place, curve) in shown.items():
            dashes = DASHES[seen.setdefault(place, 0) % len(DASHES)]
            seen[place] += 1
            steps, values = [step for step, _ in curve], [value for _, value in curve]
            marker = "o" if len(curve) < 30 else ""
            axes.plot(steps, values, dashes, marker=marker, color=colour(place), label=plain(name))
        axes.set(xlabel="step", ylabel=label)
        if unit:
            axes.set_ylim(0, 1)
        elif logarithmic and all(value > 0 for _, curve in shown.values() for _, value in curve):
            axes.set_yscale("log")
        legend(axes)


def speed_figure(path: Path, points: Sequence[tuple[str, int, float, float]], label: str) -> None:
    """Draw overall F-measure against frames per second, as CDN-MEDAL's figure of speed and accuracy.

    Args:
        path: The SVG file.
        points: Name, place of the system, frames per second and F-measure of each.
        label: What the F-measure is of.
    """
    with figure(path, path.parent.parent) as axes:
        for name, place, speed, f_measure in points:
            axes.plot([speed], [f_measure], "o", markersize=8, color=colour(place), label=plain(name))
        axes.set(xlabel="frames per second, as tested", ylabel=label, ylim=(0, 1))
        axes.set_xscale("log")
        speeds = [point[2] for point in points]
        low, high = min(speeds) / 1.6, max(speeds) * 1.6
        axes.set_xlim(low, high)
        from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        legend(axes)


def iso_f_measure(axes: Axes) -> None:
    """Draw grey lines that join points of one F-measure."""
    for f_measure in (0.2, 0.4, 0.6, 0.8):
        least = f_measure / (2 - f_measure)
        recalls = [least ** (1 - i / 60) for i in range(61)]
        axes.plot(
            recalls, [f_measure * r / (2 * r - f_measure) for r in recalls], color="0.85", linewidth=0.8, zorder=1
        )
        axes.annotate(
            f"F {f_measure}", (1, least), (-2, 2), textcoords="offset points", color="0.5", size=7, ha="right"
        )


def plain(name: str) -> str:
    """Return a name as matplotlib shows it letter by letter: no formula, and no name that a legend leaves out."""
    shown = one_line(name).replace("$", r"\$")
    return f"\u200b{shown}" if shown.startswith("_") else shown


@contextmanager
def figure(path: Path, within: Path | None = None, size: tuple[float, float] = (5.4, 3.9)) -> Iterator[Axes]:
    """Give axes, and write them: as SVG, bytes that depend on nothing but what was drawn.

    Args:
        path: The file, .png, .pdf or .svg; its folder is made.
        within: A folder that the file must not leave by a link.
        size: Width and height in inches.

    Raises:
        UserError: If the file ends otherwise.
    """
    if path.suffix.lower() not in _FORMATS:
        raise UserError(f"{path}: must end in {', '.join(_FORMATS)}; got {path.suffix!r}. Name such a file.")
    import matplotlib as mpl  # here, because it takes half a second
    from matplotlib.figure import Figure

    settings: dict[Any, Any] = {
        "svg.hashsalt": "bgsub_lightning",
        "font.size": 9.5,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "lines.linewidth": 1.6,
        "lines.markersize": 3.5,
    }
    kind = path.suffix[1:].lower()
    with mpl.rc_context(settings):
        drawn = Figure(figsize=size, layout="constrained")
        axes = drawn.add_subplot()
        axes.grid(alpha=0.25)
        yield axes
        with atomic_write(path, "wb", within) as file:
            drawn.savefig(file, format=kind, dpi=150, metadata=_UNDATED.get(kind))


_FORMATS = (".png", ".pdf", ".svg")
_UNDATED = {"svg": {"Date": None, "Creator": None}, "pdf": {"CreationDate": None}}


def legend(axes: Axes, place: Literal["best", "lower left"] = "best") -> None:
    """Draw a legend where there are several names."""
    count = len(axes.get_legend_handles_labels()[1])
    if count > 1:
        axes.legend(fontsize=8 if count <= 10 else 6.5, ncols=1 if count <= 4 else 2, frameon=False, loc=place)
