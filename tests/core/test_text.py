"""Text of others, made harmless."""

from __future__ import annotations

import pytest
from rich.table import Table
from rich.text import Text

from bgsub_lightning.cli import main
from bgsub_lightning.core import console as module
from bgsub_lightning.core.text import csv_cell, from_csv_cell, has_control_characters, one_line, printable

HOSTILE = "\x1b[2J\x1b]0;title\x07\r\x9b31m\u202eabc\udcff[/x][bold]"
SHOWN = r"\x1b[2J\x1b]0;title\x07\r\x9b31m\u202eabc\udcff[/x][bold]"


def test_nothing_reaches_the_terminal_that_it_would_obey() -> None:
    assert printable(HOSTILE) == SHOWN
    assert printable("a\tb\nÄ × …") == "a\tb\nÄ × …"


@pytest.mark.parametrize("kind", [str, Text])
def test_the_console_prints_text_as_it_is(kind: type, capsys: pytest.CaptureFixture[str]) -> None:
    # rich drops some by itself
    hostile, shown = (
        text.replace(r"\x07\r", "").replace("\x07\r", "") for text in (HOSTILE, SHOWN)
    )  # rich drops these
    module.console.print(kind(hostile), soft_wrap=True)
    module.warn(hostile)
    table = Table(title=hostile)
    table.add_column(hostile, width=80)
    table.add_row(kind(hostile))
    module.console.print(table)
    module.console.rule(hostile)
    with module.progress_bar() as progress:
        progress.add_task(hostile, total=1)
    printed = capsys.readouterr().out
    assert printed.splitlines()[:2] == [shown, f"warning {shown}"]
    assert printed.count(shown) >= 6
    assert not set(printed) & set("\x1b\x07\r\x9b\u202e\udcff")


def test_errors_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["segment", f"--source=/nope{HOSTILE}", "--out=x", "--checkpoint=MOG2"]) == 2
    printed = capsys.readouterr().err
    assert SHOWN in printed
    assert "\x1b" not in printed


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://admin:p@ss@10.0.0.1/s and http://u:x@h", "rtsp://admin:***@10.0.0.1/s and http://u:***@h"),
        ("https://h/a.pth?token=abc&b=2", "https://h/a.pth?token=***&b=2"),
        ("https://h/a?X-Amz-Signature=0f", "https://h/a?X-Amz-Signature=***"),
        ("https://user@h:80/a@b:c?d=e", "https://user@h:80/a@b:c?d=e"),
        ("12:30 me@here", "12:30 me@here"),
        ("https://u:p/w@h/a.pth", "https://u:***@h/a.pth"),
        ("http://h:8080/a@b/c http://h:8080", "http://h:8080/a@b/c http://h:8080"),
        (f"https://{'t0K-e_n' * 3}@h/a", "https://***@h/a"),
        *(
            (f"http://h/a?x=1&{key}=1a", f"http://h/a?x=1&{key}=***")
            for key in ("sig", "sas", "pass", "key", "credentials")
        ),
        ("http://h/a?monkey=1&signal=2", "http://h/a?monkey=1&signal=2"),
    ],
)
def test_passwords(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize("text", ["=1+1", "+x", "-x", "@SUM(A1)", " =1", "plain", "'=quoted", "-0.5", "1e-3", ""])
def test_cells_of_spreadsheets(text: str) -> None:
    cell = csv_cell(text)
    assert cell == "-0.5" or cell.strip()[:1] not in {"=", "+", "-", "@"}
    assert from_csv_cell(cell) == text


def test_cells_have_one_line() -> None:
    assert csv_cell("a\r\n=b\x1b") == r"a =b\x1b"


def test_names_in_a_line() -> None:
    assert one_line(" a\n# b \x1b") == r"a # b \x1b"
    assert [has_control_characters(text) for text in ("a b", "a\nb", "a\tb", "a\x7f")] == [False, True, True, True]
