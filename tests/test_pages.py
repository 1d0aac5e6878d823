"""README, docs/ and the pages of the systems: their links lead somewhere, what they name exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bgsub_lightning.commands import COMMANDS

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted(ROOT.glob("docs/**/*.md")), *sorted(ROOT.glob("bgsub_lightning/systems/*/README.md"))]
IDS = [page.relative_to(ROOT).as_posix() for page in PAGES]
PLACEHOLDERS = {"X.yaml", "FILE.yaml", "mine.yaml"}


def text(page: Path) -> str:
    return page.read_text()


def anchors(page: Path) -> set[str]:
    """What a heading is called in links, as GitHub and the site have it."""
    headings = re.findall(r"^#+ (.*)", re.sub(r"^```.*?^```", "", text(page), flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for path, anchor in re.findall(r"\]\((?!\w+:)([^)\s#]*)#?([^)\s]*)\)", text(page)):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), path
        assert target.is_relative_to(ROOT), path
        assert not anchor or anchor in anchors(target), (path, anchor)


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_commands_and_shipped_files_exist(page: Path) -> None:
    words = re.findall(r"(?:`|^)(?:python -m bgsub_lightning|bgsub) ([a-z]\w*)", text(page), re.M)
    assert {*words} <= {*COMMANDS}
    for path in re.findall(r"\b(?:experiments|sweeps)/[\w/]+\.yaml", text(page)):
        assert (ROOT / path).is_file() or Path(path).name in PLACEHOLDERS, path


def test_the_readme_is_short_and_has_what_people_type() -> None:
    assert len(text(README).splitlines()) <= 150
    for command in (
        "pip install .",
        "make demo",
        "make test",
        "python -m bgsub_lightning segment street.mp4",
        "python -m bgsub_lightning fit --config experiments/bmn_bsn_fold1.yaml",
    ):
        assert re.search(rf"^{re.escape(command)}(?: +#.*)?$", text(README), re.M), command


def test_every_system_is_in_the_readme_and_in_the_overview() -> None:
    for folder in sorted(ROOT.glob("bgsub_lightning/systems/*/README.md")):
        name = folder.parent.name
        assert f"systems/{name}/README.md" in text(ROOT / "docs/systems.md"), name
        assert f"systems/{name}/README.md" in text(README) or f"docs/{name}.md" in text(README), name
        assert f"systems/{name}.md" in text(ROOT / "mkdocs.yml"), name
