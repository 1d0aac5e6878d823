"""Hooks of mkdocs. A link in a page is a path in the repository; here it leads to the page that shows that file.

The README is the home page; the README of a system and each notebook are pages. Any other file outside of docs/ that a
page links to is shown as it is, below source/. Pages read alike in the repository and on the site.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"(?<=\]\()(?!\w+:)([^)\s#]+)")
"""The path of a relative link or picture."""
NAMED = re.compile(r"`docs/([\w/]+\.md)` of the repository")
"""A page, as the README of a system names it: in the wheel there is nothing to link to."""
ANSI = re.compile(r"\x1b\[[\d;]*m")
"""Colours of a terminal."""
HIDDEN = "---\nsearch: {exclude: true}\n---\n"

PAGES = {"README.md": "index.md", "CHANGELOG.md": "changelog.md"}
PAGES |= {
    path.relative_to(ROOT).as_posix(): f"{folder}/{name}.md"
    for folder, pattern in (("systems", "bgsub_lightning/systems/*/README.md"), ("notebooks", "notebooks/*.ipynb"))
    for path in sorted(ROOT.glob(pattern))
    for name in [path.parent.name if folder == "systems" else path.stem]
}
"""Path in the repository → page of the site; files of docs/ keep their path, and on_files adds other linked files."""


def _page(path: str) -> str | None:
    """Return the page or picture of the site that shows a file of the repository."""
    if path in PAGES:
        return PAGES[path]
    is_own = path.startswith("docs/") and not path.endswith(".py")
    return path.removeprefix("docs/") if is_own else None


def _linked(path: str) -> Iterator[str]:
    """Yield the files of the repository that a Markdown file links to."""
    for link in LINK.findall((ROOT / path).read_text()):
        yield posixpath.normpath(posixpath.join(posixpath.dirname(path), link))


def _notebook(text: str) -> str:
    """Show a notebook: its text, its code, what it printed and drew."""
    parts = []
    for cell in json.loads(text)["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            if "image/png" in data:
                parts.append(f"![output](data:image/png;base64,{''.join(data['image/png']).strip()})")
            else:
                printed = "".join(output.get("text", data.get("text/plain", ""))).rstrip()
                parts.append(f"```text\n{ANSI.sub('', printed)}\n```")
    return "\n\n".join(parts)


def _content(path: str) -> str:
    text = (ROOT / path).read_text()
    if path == "README.md":
        return f"---\nhide: [navigation]\n---\n{text}"
    if path.endswith(".md"):
        return text
    if path.endswith(".ipynb"):
        return _notebook(text)
    return f"{HIDDEN}# {path}\n\n````{Path(path).suffix[1:].replace('txt', 'text')}\n{text}````\n"


def on_config(config: Any) -> Any:
    """List the decisions of docs/adr/ below the design, where there are any."""
    (design,) = (section["Design"] for section in config.nav if "Design" in section)
    decisions = [path.relative_to(ROOT / "docs").as_posix() for path in sorted(ROOT.glob("docs/adr/[0-9]*.md"))]
    design += [{"Decisions": decisions}] if decisions else []
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are made from files outside of docs/."""
    own = [f"docs/{file.src_uri}" for file in files.documentation_pages()]
    waiting = [*PAGES, *own]
    while waiting:
        for target in _linked(waiting.pop()):
            if _page(target) is None and (ROOT / target).is_file():
                PAGES[target] = f"source/{target.removesuffix('.md')}.md"
                waiting += [target] if target.endswith((".md", ".ipynb")) else []
    for path, uri in PAGES.items():
        files.append(File.generated(config, uri, content=_content(path)))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Lead each link to the page that shows its file."""
    uri = page.file.src_uri
    path = next((path for path, each in PAGES.items() if each == uri), f"docs/{uri}")

    def to_page(link: re.Match[str]) -> str:
        target = _page(posixpath.normpath(posixpath.join(posixpath.dirname(path), link[1])))
        return posixpath.relpath(target, posixpath.dirname(uri) or ".") if target else link[1]

    def to_named(name: re.Match[str]) -> str:
        return f"[`docs/{name[1]}`]({posixpath.relpath(name[1], posixpath.dirname(uri) or '.')})"

    return NAMED.sub(to_named, LINK.sub(to_page, markdown)) if path.endswith((".md", ".ipynb")) else markdown


def on_page_content(html: str, **_: Any) -> str:
    """Leave out the roles of docstrings, which Sphinx knows and mkdocs prints."""
    return re.sub(r":(?:attr|class|const|data|exc|func|meth|mod):(?=<code>)", "", html)
