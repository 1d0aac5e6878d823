"""Shared by the scripts here: rates of ways that take turns, and their table."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from rich import box
from rich.table import Table

from bgsub_lightning.core.console import console

ROOT = Path(__file__).parents[1]


def run_program(*words: str) -> None:
    """Run a command of the program with one thread; its callbacks may come from the scripts here."""
    path = os.pathsep.join([str(ROOT / "benchmarks"), str(ROOT), os.environ.get("PYTHONPATH", "")])
    variables = {"OMP_NUM_THREADS": "1", **os.environ, "PYTHONPATH": path}
    command = [sys.executable, "-m", "bgsub_lightning", *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=variables)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}: ended with {done.returncode}\n{done.stdout}")


def rate(step: Callable[[], object], seconds: float, device: str = "cpu") -> float:
    """Calls per second."""
    step()
    synchronize(device)
    begin, count = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:
        step()
        count += 1
        synchronize(device)
    return count / (time.perf_counter() - begin)


def synchronize(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


def interleaved(ways: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Median rate of each way; they take turns, so that what disturbs the machine disturbs all."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            found[name].append(way())
    return {name: statistics.median(rates) for name, rates in found.items()}


def show(title: str, rates: dict[str, float], base: str, unit: str | None) -> None:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE, pad_edge=False)
    table.add_column("")
    table.add_column(f"times {base}", justify="right")
    if unit:
        table.add_column(unit, justify="right")
    for name, value in rates.items():
        table.add_row(name, f"{value / rates[base]:.2f}", *([f"{value:,.1f}"] if unit else []))
    console.print(table)


def table_of(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Return a table whose first column names its rows."""
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE, pad_edge=False)
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if number else "left")
    for row in rows:
        table.add_row(*row)
    return table
