"""The page's server: what it answers, downloads and refuses; several people at once; for this machine alone."""

import csv
import io
import threading
from pathlib import Path

import pytest

from autopilot.explore.app import create_app
from autopilot.explore.session import OvertakenError
from autopilot.settings import Settings
from autopilot_client.config.parse import parse
from tests.explore.conftest import ASKED, fleet_of
from tests.explore.test_files import PLAIN, SHARED


@pytest.fixture
def page(session):
    return create_app(session, ASKED, "sample").test_client()


def drop(page, name: str, content: bytes):
    return page.post("/files", data={"file": (io.BytesIO(content), name)})


def test_the_page_needs_nothing_from_elsewhere(page):
    answer = page.get("/")
    assert answer.status_code == 200
    assert "http" not in answer.text.replace("http-equiv", "")
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    with page.get("/plotly.js") as script:
        assert script.content_type.startswith("text/javascript")


def test_an_answer_holds_the_picture_the_bill_and_the_reasons(page):
    body = page.get("/answer?price=0.2").json
    assert body["fleets"] == [body["fleet"]] == ["eu"]
    assert "outage hold" in body["tables"]
    assert "▶ policy" in body["tables"]
    assert body["figure"]["data"]
    assert body["worst"][1] - body["worst"][0] == 86400


@pytest.mark.parametrize("path", SHARED, ids=lambda path: path.stem)
def test_every_known_bad_file_shows_its_cause_and_no_trace(page, path: Path):
    said = drop(page, path.name, path.read_bytes())
    if said.status_code == 200:
        said = page.get(f"/answer?file={said.json['file']}&days=0")
    assert said.status_code in (200, 422)
    assert "Traceback" not in said.text
    if said.status_code == 422:
        assert len(said.json["message"]) > 30


def test_what_cannot_be_asked_names_its_control(page):
    said = page.get("/answer?minimum=9&maximum=8")
    assert (said.status_code, said.json["field"]) == (422, "maximum")
    assert page.get("/answer?file=gone").status_code == 404
    assert "Drop it once more" in page.get("/answer?file=gone").json["message"]
    assert page.get("/answer?fleet=us").json["field"] == "fleet"
    assert page.get("/nowhere").json["message"]


def test_no_file_and_too_large_a_file_are_refused(page, session):
    assert page.post("/files").json["message"].startswith("no file came")
    page.application.config["MAX_CONTENT_LENGTH"] = 1000
    assert drop(page, "large.csv", b"0" * 2000).status_code == 413


def test_what_is_taken_home_can_be_used(page, session):
    asked = "file=sample&minimum=3&maximum=400&shortest=12&longest=20&missing=7&hold=off"
    (fleet,) = parse(page.get(f"/client.yaml?{asked}").text, "client.yaml").fleets
    assert (fleet.name, fleet.apply, fleet.minimum, fleet.maximum) == ("eu", "observe", 3, 400)
    lines = page.get(f"/autopilot.env?{asked}").text.splitlines()
    environ = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    settings = Settings.from_env(environ)
    assert (settings.lead(), settings.autopilot_missing_price, settings.autopilot_hold_minutes) == ((12, 20), 7, 0)
    rows = list(csv.DictReader(io.StringIO(page.get(f"/sizes.csv?{asked}").text)))
    assert len(rows) == 0.75 * 9 * 288
    assert {"timestamp", "demand", "size", "ready", "reason"} == rows[0].keys()
    assert all(3 <= int(row["size"]) <= 400 for row in rows)
    again = drop(page, "sizes.csv", page.get(f"/sizes.csv?{asked}").data)
    assert page.get(f"/answer?file={again.json['file']}&baseline=what+ran").status_code == 200
    assert "What the autopilot would have done" in page.get(f"/report.html?{asked}&price=2").text


def test_without_a_maximum_one_is_proposed(page):
    (fleet,) = parse(page.get("/client.yaml?file=sample").text, "client.yaml").fleets
    assert fleet.maximum > 200


REFUSED = {
    "another site's page": {"Sec-Fetch-Site": "cross-site"},
    "a name that leads here from elsewhere": {"Host": "evil.example"},
}


@pytest.mark.parametrize("headers", REFUSED.values(), ids=REFUSED.keys())
def test_nobody_else_asks(page, headers):
    assert page.get("/answer", headers=headers).status_code in (400, 403)


def test_two_people_see_their_own_files(page, session):
    other = create_app(session, ASKED, "sample").test_client()
    mine, yours = (drop(one, name, PLAIN.replace(",5", high).encode()).json["file"]
                   for one, name, high in ((page, "mine.csv", ",5"), (other, "yours.csv", ",9")))  # fmt: skip
    answers = {}

    def ask(name, client, key):
        answers[name] = client.get(f"/answer?file={key}&days=0&tab={name}").json

    threads = [threading.Thread(target=ask, args=one) for one in (("a", page, mine), ("b", other, yours))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (answers["a"]["fleet"], answers["b"]["fleet"]) == ("mine", "yours")


def test_what_a_tab_does_not_wait_for_is_not_decided(session):
    session.work("tab").turn = 5
    with pytest.raises(OvertakenError):
        session.play("sample", "", ASKED, ("tab", 4))
    assert session.play("sample", "", ASKED, ("tab", 6)).policy.ready.size


def test_files_that_were_dropped_long_ago_make_room(session):
    first = session.add({"eu": fleet_of(2)})
    for _ in range(16):
        session.add({"eu": fleet_of(2)})
    assert session.fleets("sample")
    with pytest.raises(KeyError):
        session.fleets(first)
