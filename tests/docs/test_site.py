"""The site of the pages: built without a warning, every link leads somewhere, nothing comes from elsewhere."""

import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from testkit.browser import WIDTHS, browser, missing, open_page, overflow, violations
from testkit.client.standins import serving

ROOT = Path(__file__).parents[2]


class Page(HTMLParser):
    """What a page links to, what it loads, and the places in it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.places: set[str] = set()
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.places |= {given[name] for name in ("id", "name") if given.get(name)}
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        elif tag != "a":
            self.loads += [given[name] for name in ("src", "href") if given.get(name)]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, made anew."""
    out = tmp_path_factory.mktemp("site")
    made = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-c", "docs", "-d", out / "trees", ".",
         out / "site"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (made.returncode, made.stderr) == (0, "")
    return out / "site"


def test_every_link_leads_to_a_page_and_a_place_in_it(site):
    pages = {path: Page(path) for path in site.rglob("*.html")}
    assert len(pages) > 25
    lost = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            place = unquote(parts.fragment)
            if not target.exists() or (place and target in pages and place not in pages[target].places):
                lost.append(f"{path.relative_to(site)}: {link}")
    assert lost == []


def test_nothing_is_loaded_from_elsewhere(site):
    remote = {load for path in site.rglob("*.html") for load in Page(path).loads if urlsplit(load).netloc}
    assert remote == set()
    for path in site.rglob("*.css"):
        assert "url(http" not in path.read_text().replace("url(//", "url(http"), path.name


def test_every_page_is_in_the_navigation_and_the_interfaces_are_filled(site):
    start = {link.partition("#")[0] for link in Page(site / "docs" / "index.html").links}
    for path in (ROOT / "docs").glob("*.md"):
        assert path.stem == "index" or f"{path.stem}.html" in start
    api = (site / "docs" / "api.html").read_text()
    for path in json.loads((ROOT / "docs" / "openapi.json").read_text())["paths"]:
        assert path in api
    assert "autopilot.core.guardrail.allocate" in (site / "docs" / "python.html").read_text()


@pytest.fixture(scope="module")
def chromium():
    with browser() as opened:
        yield opened


@pytest.mark.skipif(missing() is not None, reason=missing() or "")
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["index", "tutorial", "api", "python"])
def test_everybody_can_read_it(site, chromium, width, name):
    def file_of(_: str, path: str, __: bytes) -> tuple[int, bytes]:
        file = site / unquote(urlsplit(path).path).lstrip("/")
        return (200, file.read_bytes()) if file.is_file() else (404, b"")

    errors: list[str] = []
    with serving(file_of) as url:
        page = open_page(chromium, f"{url}/docs/{name}.html", width, errors)
        serious = [one for one in violations(page) if "(serious)" in one or "(critical)" in one]
        assert (errors, serious, overflow(page)) == ([], [], 0)
        page.close()
