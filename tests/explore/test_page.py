"""The page in a real browser, at a desk's width and a phone's: usable by everybody, by hand and by keyboard."""

import pytest

from testkit.browser import WIDTHS, browser, missing, open_page, overflow, violations
from tests.explore.conftest import served
from tests.explore.test_files import ROWS, SHARED

pytestmark = pytest.mark.skipif(missing() is not None, reason=missing() or "")


@pytest.fixture(scope="module")
def chromium():
    with browser() as opened:
        yield opened


def drawn(page, turn: int) -> None:
    page.wait_for_selector(f"body[data-drawn='{turn}']")


@pytest.mark.parametrize("width", WIDTHS)
def test_everybody_can_use_it(chromium, session, width):
    errors = []
    with served(session) as url:
        page = open_page(chromium, url, width, errors)
        drawn(page, 1)
        assert page.inner_text("#verdict").startswith("7 days: the policy")
        assert page.locator("#figure svg.main-svg").count() > 0
        assert (errors, violations(page), overflow(page)) == ([], [], 0)
        page.close()


def test_a_slider_is_moved_with_the_keyboard_and_the_bill_follows(chromium, session):
    errors = []
    with served(session) as url:
        page = open_page(chromium, url, 1280, errors)
        drawn(page, 1)
        before = page.inner_text("#tables")
        page.focus("#longest")
        page.keyboard.press("End")
        drawn(page, 2)
        assert page.inner_text("#longest-value") == "60"
        assert page.inner_text("#tables") != before
        page.focus("#worst")
        page.keyboard.press("Enter")
        drawn(page, 3)
        assert page.locator("#whole").is_enabled()
        page.fill("#maximum", "3")
        page.fill("#minimum", "9")
        page.wait_for_selector("#maximum-error:not(:empty)")
        assert "below the fewest, 9" in page.inner_text("#maximum-error")
        assert errors == []
        page.close()


@pytest.mark.skipif(not SHARED, reason="the known bad files are not beside the project")
def test_a_bad_file_shows_its_cause_and_keeps_what_is_shown(chromium, session):
    with served(session) as url:
        page = open_page(chromium, url, 400, [])
        drawn(page, 1)
        for path in SHARED:
            if path.stem.startswith(("g11", "h10")):  # these can be played
                continue
            page.set_input_files("#file", path)
            page.wait_for_selector(f"body[data-refused='{path.name}']")
            assert path.stem.split("_", maxsplit=1)[0] in page.inner_text("#file-error")
            assert page.locator("#figure svg.main-svg").count() > 0
        assert violations(page) == []
        page.close()


def test_a_server_that_goes_away_is_said_and_found_again(chromium, session):
    with served(session) as url:
        page = open_page(chromium, url, 1280, [])
        drawn(page, 1)
    page.select_option("#days", "14")
    page.wait_for_selector("#gone:not([hidden])")
    assert "does not answer" in page.inner_text("#gone")
    with served(session, int(url.rstrip("/").rpartition(":")[2])):
        page.wait_for_selector("#gone", state="hidden")
        page.close()


def test_html_in_the_names_of_a_file_stays_text(chromium, session, tmp_path):
    rows = "".join(f"{at},<img src=x onerror=document.title=1>,{servers}\n" for at, servers in ROWS)
    (tmp_path / "<img src=x>.csv").write_text(f"timestamp,fleet,demand\n{rows}")
    errors = []
    with served(session) as url:
        page = open_page(chromium, url, 400, errors)
        drawn(page, 1)
        page.set_input_files("#file", tmp_path / "<img src=x>.csv")
        page.wait_for_selector("#file-error:not(:empty)")
        assert "<img src=x" in page.inner_text("#file-error")
        assert page.locator("main img").count() == 0
        assert (page.title(), errors, overflow(page)) == ("Autopilot: play with your fleet", [], 0)
        page.close()


@pytest.mark.parametrize("width", [500, 400])
def test_no_column_of_the_bill_lies_beyond_the_edge_of_a_phone(chromium, session, width):
    with served(session) as url:
        page = open_page(chromium, url, width, [])
        drawn(page, 1)
        beyond = page.evaluate(
            "[...document.querySelectorAll('#tables th, #tables td')].filter(cell => cell.offsetWidth"
            " && !cell.closest('thead') && cell.getBoundingClientRect().right > innerWidth).map(cell => cell.innerText)"
        )
        assert beyond == []
        page.close()
