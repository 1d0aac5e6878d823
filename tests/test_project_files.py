"""Files for people who join, for CI and for citations: they can be read, and agree with the package."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from bgsub_lightning.core.version import __version__

ROOT = Path(__file__).parents[1]
GITHUB = ROOT / ".github"
FORMS = [path for path in sorted((GITHUB / "ISSUE_TEMPLATE").glob("*.yml")) if path.stem != "config"]
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
DECISIONS = sorted((ROOT / "docs/adr").glob("[0-9]*.md"))


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def make_targets() -> set[str]:
    return set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_citation_names_this_version_and_its_authors() -> None:
    citation = read(ROOT / "CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["authors"] == project()["authors"]
    assert (citation["version"], citation["license"]) == (__version__, project()["license"])


def test_the_changelog_begins_with_this_version() -> None:
    headings = re.findall(r"^## (\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == __version__
    assert headings == sorted(headings, reverse=True)


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_issue_forms_have_what_the_platform_asks_for(path: Path) -> None:
    form = read(path)
    assert form["name"]
    assert form["description"]
    ids = [entry["id"] for entry in form["body"]]
    assert len(ids) == len(set(ids)) > 0
    assert {entry["type"] for entry in form["body"]} <= {"checkboxes", "dropdown", "input", "markdown", "textarea"}
    assert all(entry["attributes"]["label"] for entry in form["body"])


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_call_targets_that_are_there(path: Path) -> None:
    workflow = read(path)
    commands = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    assert commands
    assert {command.split()[0] for command in commands} == {"make"}
    assert {command.split()[1] for command in commands} <= make_targets()
    assert workflow["permissions"] == {"contents": "read"}


def test_workflows_test_the_versions_of_python_that_the_metadata_names() -> None:
    named = {text.rpartition(" ")[2] for text in project()["classifiers"] if re.search(r"Python :: 3\.\d", text)}
    assert set(read(GITHUB / "workflows/tests.yml")["jobs"]["fast"]["strategy"]["matrix"]["python"]) == named
    assert min(named, key=lambda text: int(text[2:])) == project()["requires-python"].removeprefix(">=")


def test_hooks_call_the_tools_of_make_test() -> None:
    hooks = [hook for repository in read(ROOT / ".pre-commit-config.yaml")["repos"] for hook in repository["hooks"]]
    assert all(hook["entry"].startswith(".venv/bin/") for hook in hooks)
    assert {"ruff", "ruff-format", "codespell"} <= {hook["id"] for hook in hooks}


def test_all_that_is_asked_for_is_pinned() -> None:
    rows = [row for row in (ROOT / "constraints.txt").read_text().splitlines() if not row.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", row) for row in rows), rows
    pinned = {re.sub("[-_.]+", "-", row.partition("==")[0]).lower() for row in rows}
    extras = project()["optional-dependencies"]
    wanted = [
        *project()["dependencies"],
        *(text for name in ("docs", "release", "test") for text in extras.get(name, ())),
    ]
    names = {re.sub("[-_.]+", "-", re.match(r"[\w.-]+", text)[0]).lower() for text in wanted}  # type: ignore[index]
    assert names - {"bgsub-lightning"} <= pinned


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.stem)
def test_decisions_have_one_form(path: Path) -> None:
    text = path.read_text()
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"]
    assert len(text.splitlines()) <= 25


def test_decisions_are_numbered() -> None:
    assert [int(path.name[:4]) for path in DECISIONS] == list(range(1, len(DECISIONS) + 1))


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "CODE_OF_CONDUCT.md"])
def test_links_lead_to_files(name: str) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", (ROOT / name).read_text())
    assert links
    assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []
