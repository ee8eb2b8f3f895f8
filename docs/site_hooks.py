"""MkDocs hook: adds the pages of the site that do not lie in docs/.

These are README.md and the pictures of every study in experiments/, CONTRIBUTING.md, CHANGELOG.md, and
configuration.md, which is generated from the schemas. Links between pages are written for the repository, so that they
work on GitHub, and are translated to the site here. As on GitHub, a list needs no blank line before it.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

from markdown import Extension, Markdown
from markdown.preprocessors import Preprocessor
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"(?<=\]\()(\.[^)\s#]+|[\w][\w./-]*\.(?:md|png))(#[^)\s]*)?(?=\))")
"""Target of a relative Markdown link, and its anchor."""
REFERENCE = "corea.config.reference"
"""The module that prints the configuration reference as Markdown."""


class _BlankBeforeList(Preprocessor):
    """Insert a blank line between a paragraph and the list that follows it."""

    def run(self, lines: list[str]) -> list[str]:
        separated: list[str] = []
        for line in lines:
            if line.startswith(("- ", "1. ")) and separated and re.match(r"(?![-#|]|\d+\. )\S", separated[-1]):
                separated.append("")
            separated.append(line)
        return separated


class _Lists(Extension):
    def extendMarkdown(self, md: Markdown) -> None:
        md.preprocessors.register(_BlankBeforeList(md), "blank_before_list", 20)  # after fenced code is taken out


def on_config(config: MkDocsConfig) -> None:
    """Read pages and docstrings with the extension above."""
    config.markdown_extensions.append(_Lists())


def outside_pages() -> list[Path]:
    """Files of the site outside docs/, relative to the repository."""
    found = [*ROOT.glob("experiments/*/README.md"), *ROOT.glob("experiments/*/*.png")]
    return sorted(path.relative_to(ROOT) for path in [*found, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"])


def configuration_page() -> str:
    """Markdown of the configuration reference."""
    if importlib.util.find_spec(REFERENCE) is None:
        return "# Configuration\n\n`--cfg job` of a command prints its configuration.\n"
    done = subprocess.run([sys.executable, "-m", REFERENCE], cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    for path in outside_pages():
        files.append(File.generated(config, path.as_posix(), abs_src_path=str(ROOT / path)))
    if files.get_file_from_path("configuration.md") is None:
        files.append(File.generated(config, "configuration.md", content=configuration_page()))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Translate the relative links of a page from the repository to the site."""
    here = page.file.src_uri
    in_docs = (ROOT / "docs" / here).exists()
    folder = (Path("docs") if in_docs else Path()) / Path(here).parent

    def translated(match: re.Match[str]) -> str:
        target = Path(os.path.normpath(folder / match[1])).as_posix().removeprefix("docs/")
        return os.path.relpath(target, Path(here).parent) + (match[2] or "")

    return LINK.sub(translated, markdown)
