"""The pages: short where they should be short, and every link leads somewhere."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    path
    for path in sorted(ROOT.rglob("*.md"))
    if not {".venv", "node_modules", "out", "build", ".pytest_cache"} & set(path.relative_to(ROOT).parts)
]


def targets(page: Path) -> list[str]:
    """What a page links to in the project, without links to the web and within the page."""
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text())
    return [link.split("#")[0] for link in links if not re.match(r"[a-z]+:|#", link)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file(page):
    assert [link for link in targets(page) if not (page.parent / link).exists()] == []


def test_the_readme_fits_a_readers_patience():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


def test_every_page_of_the_docs_is_linked_from_the_readme():
    linked = {Path(link).name for link in targets(ROOT / "README.md")}
    assert {page.name for page in (ROOT / "docs").glob("*.md")} <= linked


def test_answers_that_are_shown_name_the_model_that_is_built_in():
    built_in = json.loads((ROOT / "container/autopilot/models/default/metadata.json").read_text())
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    shown = {name for page in pages for name in re.findall(r"default@[0-9a-f]{8}", page.read_text())}
    assert shown == {f"default@{built_in['model_sha256'][:8]}"}


def test_every_file_that_contributors_are_sent_to_is_there():
    table = re.search(r"\| what \| in which file \|\n(.*?)\n\n", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
    first = [re.findall(r"`((?:container|client|deploy)/[^`]+)`", line) for line in table[1].splitlines()[1:]]
    assert len(first) >= 11
    assert all(first)
    assert [path for paths in first for path in paths if not (ROOT / path).exists()] == []
