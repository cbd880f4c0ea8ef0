"""The live page follows a client or an endpoint: what it shows, and what it does with servers that are away or lie."""

import json
import socket
import threading
import time
import urllib.request
from contextlib import contextmanager

import pytest
from click.testing import CliRunner

from autopilot.explore.app import create_app
from autopilot.explore.command import explore
from autopilot.explore.live.fetch import FollowedAddress, address_of
from autopilot.explore.live.follower import Follower
from autopilot.serve.app import create_app as create_endpoint
from autopilot.settings import Settings
from autopilot_client.config.document import Server
from autopilot_client.kube.lease import Alone
from autopilot_client.status.server import HttpServer
from autopilot_client.status.web import Application
from testkit.browser import WIDTHS, browser, missing, open_page, overflow, violations
from testkit.client.shown import FEW, NOW, a_shown_store
from testkit.client.standins import as_json, serving
from tests.explore.conftest import ASKED, serving_page

in_a_browser = pytest.mark.skipif(missing() is not None, reason=missing() or "")
EVIL = "<img src=x onerror=\"document.title='broken'\">"


class Clock:
    """Every look is a new one."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += 10
        return self.now


@contextmanager
def a_client(port: int = 0):
    """A client's port with some fleets."""
    server = HttpServer(Application(a_shown_store(), Alone(), {}, lambda: NOW), Server(host="127.0.0.1", port=port))
    server.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.stop()


def following(url: str, *fleets: str, seconds: float = 60, largest: int = 1 << 20) -> Follower:
    return Follower(FollowedAddress(url, seconds, largest), fleets, Clock())


def test_a_client_is_followed_with_its_holds_and_its_weeks():
    with a_client() as url:
        follower = following(url)
        sight = follower.follow().sight
        assert sight.fleets[0].fleet == FEW[0]
        assert sight.fleets[0].state == "held"
        assert "arrivals stopped at 13:13" in sight.fleets[0].notes[0]
        assert any(note.startswith("Override: minimum 40") for note in sight.fleets[1].notes)
        course = follower.course(FEW[0])
        assert len(course.times) == len(course.demand) == 72
        assert course.reasons[-1] == "outage_hold"


def test_an_endpoint_is_followed_by_what_it_remembers(tmp_path):
    settings = Settings.from_env({"AUTOPILOT_HISTORY": f"sqlite:///{tmp_path}/h.sqlite3"})
    with serving_page(create_endpoint(settings)) as url:
        for demand in (80, 81, 82):
            body = json.dumps({"fleet": "eu/x", "demand": demand}).encode()
            request = urllib.request.Request(f"{url}invocations", body, {"Content-Type": "application/json"})
            urllib.request.urlopen(request).close()
        address = address_of(f"{url}invocations")
        assert address.url == url.rstrip("/")
        follower = Follower(address, (), Clock())
        now = follower.follow()
        assert now.trouble == ""
        (fleet,) = now.sight.fleets
        assert (fleet.fleet, fleet.demand, fleet.state) == ("eu/x", 82, "")
        assert fleet.size >= fleet.forecast >= 82
        assert follower.course("eu/x").demand[-1] == 82
        (named,) = Follower(address, ["eu/unheard"], Clock()).follow().sight.fleets
        assert (named.fleet, named.state) == ("eu/unheard", "silent")


@pytest.mark.parametrize(("why", "said"), [("demand 5 where 82 is expected", 1), ("", 0)])
def test_a_hold_of_an_endpoint_is_shown_with_what_speaks_for_it(why, said):
    past = {"fleet": "eu/x", "start": "2026-10-10T12:00:00Z", "demand": [80, 5], "forecast": [81, 83],
            "believed": [None, 82], "why": why}  # fmt: skip
    answers = {"/invocations": as_json({"past": [past], "fleets": ["eu/x"]})}
    with serving(lambda _, path, *__: answers.get(path, (404, b""))) as url:
        (fleet,) = following(url).follow().sight.fleets
    assert fleet.state == "held"
    assert fleet.notes[0] == "The report of 5 is not believed: 82 servers are kept for its players."
    assert list(fleet.notes[1:]) == [f"What speaks for it: {why}."] * said


BOARDS = {
    "unwell": ((503, b'{"code": "scoreboard_unavailable"}'), "it answers 503."),
    "of another version": ((200, b"[]"), "its answer is not what an endpoint of this version says."),
    "none": ((404, b""), ""),
}


@pytest.mark.parametrize(("board", "words"), BOARDS.values(), ids=BOARDS.keys())
def test_an_endpoint_whose_scoreboard_is_unwell_keeps_its_fleets(board, words):
    past = {"fleet": "eu/x", "start": "2026-10-10T12:00:00Z", "demand": [80, 82], "forecast": [81, 83]}
    answers = {"/invocations": as_json({"past": [past], "fleets": ["eu/x"]}), "/scoreboard": board}
    with serving(lambda _, path, *__: answers.get(path, (404, b""))) as url:
        now = following(url).follow()
    assert now.trouble == ""
    assert [one.fleet for one in now.sight.fleets] == ["eu/x"]
    assert now.sight.about.partition(" The figures of the week are not to be had: at /scoreboard, ")[2] == words
    assert bool(words) == ("week" in now.sight.about)


@pytest.mark.parametrize("judged", [["us/b", "eu/a"], []])
def test_on_dynamodb_the_fleets_are_those_of_the_scoreboard_for_no_table_is_scanned(judged):
    def handle(_, path, body):
        if path == "/scoreboard":
            return as_json({"fleets": [{"fleet": name} for name in judged]})
        if path != "/invocations":
            return 404, b""
        if not (asked := json.loads(body)["past"]):
            return as_json({"error": {"message": "past: name the fleets, for no table is scanned"}}, 400)
        pasts = [{"fleet": one, "start": "2026-10-10T12:00:00Z", "demand": [80], "forecast": [81]} for one in asked]
        return as_json({"past": pasts})

    with serving(handle) as url:
        now = following(url).follow()
    assert [one.fleet for one in (now.sight.fleets if now.sight else [])] == sorted(judged)
    said = now.sight.about if now.sight else now.trouble
    assert ("these are the fleets of its scoreboard" if judged else "wait until they are at /scoreboard") in said


def test_a_name_that_is_slow_to_resolve_costs_one_look_and_no_more(monkeypatch):
    goes_on, resolved = threading.Event(), threading.Event()

    def slow(*_, **__):
        goes_on.wait(20)
        resolved.set()
        raise socket.gaierror("nobody knows")

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    now = following("http://slow.example:8000", seconds=0.4).follow()
    assert "within 0.4 s" in now.trouble
    assert not resolved.is_set(), "the look waited for the name"
    goes_on.set()
    assert resolved.wait(30)


def test_who_goes_away_is_said_what_was_seen_stays_and_is_found_again():
    with a_client() as url:
        follower = following(url)
        assert follower.follow().trouble == ""
    away = follower.follow()
    assert "nobody can be connected to there" in away.trouble
    assert len(away.sight.fleets) == len(FEW)
    assert follower.follow().since == away.since
    with a_client(int(url.rpartition(":")[2])):
        assert follower.follow().trouble == ""


def raw(*pieces: bytes, pause: float = 0.0):
    """A server that says these bytes to whoever comes, then keeps still."""

    @contextmanager
    def serve():
        listening = socket.create_server(("127.0.0.1", 0))
        ended = threading.Event()

        def answer():
            while not ended.is_set():
                try:
                    peer, _ = listening.accept()
                except OSError:
                    return
                threading.Thread(target=speak, args=(peer,), daemon=True).start()

        def speak(peer):
            with peer:
                try:
                    peer.recv(65536)
                    for piece in pieces:
                        peer.sendall(piece)
                        if ended.wait(pause):
                            return
                    ended.wait(30)
                except OSError:
                    return

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            ended.set()
            listening.shutdown(socket.SHUT_RDWR)
            listening.close()
            thread.join()

    return serve()


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
LIES = {
    "a gigabyte": (raw(HEAD + b"Content-Length: 1000000000\r\n\r\n", *[b" " * 1_000_000] * 3), "larger than 1 MB"),
    "no end of it": (raw(HEAD + b"\r\n", *[b" " * 700_000] * 3), "larger than 1 MB"),
    "a drip in the body": (raw(HEAD + b"Content-Length: 900\r\n\r\n", *[b" "] * 900, pause=0.05), "within 0.4 s"),
    "a drip in the head": (raw(HEAD, *[b"X-A: b\r\n"] * 900, pause=0.05), "within 0.4 s"),
    "silence": (raw(), "within 0.4 s"),
    "a redirect to inside": (
        raw(b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n"), "answers 302"),
    "no HTTP": (raw(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), "speaks no HTTP"),
    "a bomb": (raw(HEAD + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x08"), "not what a client"),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_a_server_that_lies_costs_one_look_and_no_more(lie):
    serve, words = LIES[lie]
    with serve as url:
        now = following(url, seconds=0.4 if "within" in words else 60).follow()
        assert now.trouble
        assert words in now.trouble
        assert now.sight is None


ANSWERS = {
    "no object": b"[]",
    "not JSON": b"{",
    "deep": b"[" * 100_000,
    "a fleet that is none": b'{"about": "", "fleets": [1]}',
    "NaN": b'{"about": "", "fleets": [{"fleet": "a", "demand": NaN}]}',
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
def test_an_answer_that_is_none_is_said(answer):
    with serving(lambda *_: (200, answer)) as url:
        assert "not what a client" in following(url).follow().trouble


COURSES = {
    "columns of different lengths": {"times": [1, 2], "demand": [1], "forecast": [], "size": [], "reasons": []},
    "times that are none": {"times": [1e300], "demand": [1], "forecast": [1], "size": [1], "reasons": [""]},
}


@pytest.mark.parametrize("course", COURSES.values(), ids=COURSES.keys())
def test_a_course_that_is_none_is_said_on_the_page(session, course):
    with serving(lambda *_: as_json(course)) as url:
        page = create_app(session, ASKED, "sample", following(url)).test_client()
        answer = page.get("/live/course?fleet=a")
        assert (answer.status_code, "no course" in answer.json["message"]) == (502, True)


def test_a_long_answer_is_cut_and_counted():
    fleets = [{"fleet": f"f{at}", "notes": ["y" * 9_000] * 50 if at == 0 else []} for at in range(2_100)]
    status = {"about": "x" * 9_000, "fleets": fleets}
    with serving(lambda *_: as_json(status)) as url:
        sight = following(url, largest=8 << 20).follow().sight
        assert (len(sight.fleets), sight.left_out) == (2_000, 100)
        assert len(sight.about) < 700
        assert max(map(len, sight.fleets[0].notes)) <= 600
        assert len(sight.fleets[0].notes) == 20


def test_many_open_pages_are_one_look(session):
    hits = []

    def answer(*_):
        hits.append(1)
        return as_json({"about": "", "fleets": []})

    with serving(answer) as url:
        follower = Follower(FollowedAddress(url), (), lambda: 100.0)
        page = create_app(session, ASKED, "sample", follower).test_client()
        for _ in range(20):
            assert page.get("/live/state").status_code == 200
    assert len(hits) == 1


def test_without_an_address_the_page_says_how_and_takes_none(session):
    page = create_app(session, ASKED, "sample").test_client()
    text = page.get("/live").text
    assert "autopilot explore --follow" in text
    assert "<input" not in text
    assert page.get("/live/state?url=http://169.254.169.254/").status_code == 404


@pytest.mark.parametrize(
    "url", ["ftp://x", "localhost:8000", "http://", "file:///etc/passwd", "http://x/?token=secret"]
)
def test_an_address_that_is_none_is_refused_at_the_start(url):
    done = CliRunner().invoke(explore, ["--no-browser", "--follow", url])
    assert (done.exit_code, "--follow" in done.output) == (2, True)
    assert "secret" not in done.output


def test_secrets_of_the_address_are_shown_nowhere(session):
    follower = following("http://admin:hunter22@127.0.0.1:9")
    page = create_app(session, ASKED, "sample", follower).test_client()
    assert "hunter22" not in page.get("/live").text + page.get("/live/state").text


@pytest.fixture(scope="module")
def chromium():
    with browser() as opened:
        yield opened


@in_a_browser
@pytest.mark.parametrize("width", WIDTHS)
def test_everybody_can_follow(chromium, session, width):
    errors = []
    with a_client() as url, serving_page(create_app(session, ASKED, "sample", following(url))) as page_url:
        page = open_page(chromium, f"{page_url}live", width, errors)
        page.wait_for_selector(f"body[data-drawn='{FEW[0]}']")
        assert "arrivals stopped at 13:13" in page.inner_text("#notes")
        page.focus(f"text={FEW[2]}")
        page.keyboard.press("Enter")
        page.wait_for_selector(f"body[data-drawn='{FEW[2]}']")
        page.click("summary")
        assert (errors, violations(page), overflow(page)) == ([], [], 0)
        page.close()


@in_a_browser
def test_who_is_followed_goes_away_and_comes_back_on_the_page(chromium, session):
    with a_client() as url:
        follower = Follower(FollowedAddress(url), (), time.time)
        with serving_page(create_app(session, ASKED, "sample", follower)) as page_url:
            page = open_page(chromium, f"{page_url}live", 1280, [])
            page.wait_for_selector(f"body[data-drawn='{FEW[0]}']")
            other = open_page(chromium, f"{page_url}live", 400, [])
            other.wait_for_selector(f"body[data-drawn='{FEW[0]}']")
    # the client and the page's own server are gone; the page's server comes back first
    page.wait_for_selector("#gone:not([hidden])")
    with serving_page(create_app(session, ASKED, "sample", follower), int(page_url.rstrip("/").rpartition(":")[2])):
        page.wait_for_selector("#gone", state="hidden")
        page.wait_for_selector("#away:not([hidden])")
        assert "No answer since" in page.inner_text("#away")
        assert FEW[0] in page.inner_text("#fleets")
        with a_client(int(url.rpartition(":")[2])):
            page.wait_for_selector("#away", state="hidden")
            other.wait_for_selector("#away", state="hidden")
        page.close()
        other.close()


@in_a_browser
def test_html_in_what_is_followed_stays_text(chromium, session):
    status = {"about": EVIL, "fleets": [{"fleet": EVIL, "state": EVIL, "reason": EVIL, "notes": [EVIL]}]}
    course = {"times": [NOW], "demand": [1], "forecast": [2], "size": [3], "reasons": [EVIL]}
    with (
        serving(lambda _, path, __: as_json(course if "course" in path else status)) as url,
        serving_page(create_app(session, ASKED, "sample", following(url))) as page_url,
    ):
        page = open_page(chromium, f"{page_url}live", 400, [])
        page.wait_for_selector("body[data-drawn]")
        assert EVIL in page.inner_text("#fleets")
        assert page.locator("main img").count() == 0
        assert page.title() == "Autopilot: live"
        page.close()
