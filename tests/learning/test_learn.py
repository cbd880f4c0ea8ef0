"""`autopilot learn`: one pass of retraining by the clock, and what it does about everything that may be in its way."""

import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from autopilot.core.history import rfc3339
from autopilot.learning.commands import compared
from autopilot.learning.commands import learn as module
from autopilot.learning.commands.learn import learn
from autopilot.learning.models import CANDIDATE, CURRENT, TAKEN_BACK, find_kept, keep_as, name_of, promote, roll_back
from autopilot.policy.learned import BUILT_IN_MODEL
from autopilot.ports import Observed
from testkit.models import renamed_model, rewrite_metadata
from tests.learning.conftest import NOW, days_of, sqlite

DAY = 86400.0


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where models are kept, with a training of today, so that a pass does not train."""
    models = tmp_path / "models"
    models.mkdir()
    (models / "report.html").touch()
    os.utime(models / "report.html", (NOW, NOW))
    return models


@pytest.fixture
def run(store: str, root: Path) -> Callable[..., Result]:
    return lambda *more: CliRunner().invoke(learn, ["--store", store, "--models", str(root), *map(str, more)])


def promoted_at(root: Path, days_ago: float) -> None:
    """Let the model that serves have been promoted some days ago."""
    os.utime(root / CURRENT, (NOW - days_ago * DAY,) * 2, follow_symlinks=False)


def test_of_an_empty_history_nothing_is_learned_and_nothing_fails(run, root, stored):
    stored("eu", days_of(0.01))
    (root / "report.html").unlink()
    done = run()
    assert done.exit_code == 0, done.output
    assert "watch: default@" in done.output
    assert "candidate: none" in done.output
    assert "eu is left out: 0.0035 days are stored, at least 2 are needed" in done.output
    assert "train: no fleet has 2 days of history" in done.output
    assert name_of(root / CURRENT).startswith("default@")


def test_a_store_that_is_not_there_is_said_and_fails_after_several_attempts(run, root, monkeypatch):
    (root / "report.html").unlink()
    monkeypatch.setattr(module.time, "sleep", lambda _: None)
    done = run()
    assert done.exit_code == 1
    assert "history.sqlite3 is not there" in done.output
    told = json.loads((root / "learned.json").read_text())
    assert [one["failed"] for one in told["steps"]] == [False, False, True]


def test_a_store_that_fails_once_is_asked_again(run, root, store, candidate, monkeypatch):
    Path(store.removeprefix("sqlite:///")).write_text("no database at all" * 100)  # which the store sets aside
    promote(root, BUILT_IN_MODEL)
    keep_as(root, CANDIDATE, candidate)
    pauses: list[float] = []
    monkeypatch.setattr(module.time, "sleep", pauses.append)
    done = run("--auto")
    assert done.exit_code == 1
    assert (len(pauses), "the file is set aside); it is tried again" in done.output) == (1, True)
    assert "history.sqlite3 is not there" in done.output
    assert (root / CANDIDATE).exists()


def test_a_training_that_fails_is_tried_again_and_then_told(run, root, stored, monkeypatch):
    stored("eu", days_of(3))
    (root / "report.html").unlink()
    monkeypatch.setattr(module.time, "sleep", lambda _: None)
    done = run("-p", "epochs=many")
    assert done.exit_code == 1
    assert done.output.count("it is tried again") == 2
    assert "train: given up after 3 attempts: train: epochs" in done.output
    assert name_of(root / CURRENT).startswith("default@")


def test_a_candidate_without_proof_stays_in_shadow_and_says_what_is_missing(run, root, stored, candidate):
    stored("eu", days_of(5))
    promote(root, BUILT_IN_MODEL)
    rewrite_metadata(candidate, learned_until="2026-11-04T12:00:00Z")
    keep_as(root, CANDIDATE, candidate)
    done = run("--auto", "--days", "3")
    assert "1 whole days are stored that it did not learn from, 3 are asked for" in done.output
    assert name_of(root / CURRENT).startswith("default@")


@pytest.mark.parametrize(("auto", "serves"), [((), "untrained"), (("--auto",), "default")])
def test_a_proven_candidate_is_promoted_with_auto_alone(run, root, stored, tmp_path, untrained, auto, serves):
    stored("eu", days_of(5))
    promote(root, untrained)
    keep_as(root, CANDIDATE, BUILT_IN_MODEL)
    done = run(*auto, "--days", "3")
    assert done.exit_code == 0, done.output
    assert f"% of {name_of(untrained)} over" in done.output
    assert name_of(root / CURRENT).partition("@")[0] == serves
    assert (root / CANDIDATE).exists() == (serves == "untrained")


def test_during_an_outage_a_promotion_is_put_off_in_words(run, root, stored, untrained):
    stored("eu", days_of(5), doubted=3)
    promote(root, untrained)
    keep_as(root, CANDIDATE, BUILT_IN_MODEL)
    done = run("--auto", "--days", "3")
    assert "an outage is held for eu: promoted when it is over" in done.output
    assert name_of(root / CURRENT) == name_of(untrained)


def test_what_was_promoted_and_lost_three_days_in_a_row_is_taken_back(run, root, stored, untrained):
    stored("eu", days_of(6))
    promote(root, BUILT_IN_MODEL)
    promote(root, untrained)
    promoted_at(root, 2.9)
    assert "has not lost" in run("--auto").output
    promoted_at(root, 4)
    done = run("--auto")
    assert f"{name_of(untrained)} costs more than what it replaced: default@" in done.output
    assert name_of(root / CURRENT).startswith("default@")
    assert "nothing was promoted" in run("--auto").output


@pytest.fixture
def meanwhile(monkeypatch) -> Callable[[Callable[[], object]], None]:
    """Lets a person do something, once, while a pass plays what is stored."""

    def arrange(act: Callable[[], object]) -> None:
        waiting, read = [act], compared.read_fleet

        def read_then(*given):
            while waiting:
                waiting.pop()()
            return read(*given)

        monkeypatch.setattr(compared, "read_fleet", read_then)

    return arrange


def test_what_somebody_took_back_during_a_pass_is_not_brought_in_again(run, root, stored, untrained, meanwhile):
    stored("eu", days_of(6))
    promote(root, BUILT_IN_MODEL)
    promote(root, untrained)
    promoted_at(root, 4)
    meanwhile(lambda: roll_back(root))
    done = run("--auto")
    assert "watch: other models stand there than at its beginning" in done.output
    assert (name_of(root / CURRENT)[:8], name_of(root / TAKEN_BACK)) == ("default@", name_of(untrained))


def test_whom_a_person_lets_serve_again_is_taken_back_by_new_days_alone(run, root, stored, untrained):
    stored("eu", days_of(6))
    promote(root, BUILT_IN_MODEL)
    promote(root, untrained)
    promoted_at(root, 4)
    assert "serves again" in run("--auto").output
    promote(root, find_kept(root, name_of(untrained)))
    promoted_at(root, 0)
    assert "has not lost" in run("--auto").output
    promoted_at(root, 2.9)
    assert "has not lost" in run("--auto").output, "two days of the new promotion are no proof"
    promoted_at(root, 4)
    assert "serves again" in run("--auto").output


def test_what_a_person_took_back_is_brought_in_again_by_nothing_that_a_pass_does(
    run, root, stored, untrained, candidate
):
    stored("eu", days_of(9))
    promote(root, untrained)
    rewrite_metadata(candidate, learned_until=rfc3339(NOW - 30 * DAY))
    keep_as(root, CANDIDATE, candidate)
    promote(root, root / CANDIDATE)
    roll_back(root)
    promoted_at(root, 5)
    done = run("--auto")
    assert f"{name_of(untrained)} serves; nothing was promoted since {name_of(candidate)} was taken back" in done.output
    assert "candidate: none" in done.output
    assert name_of(root / CURRENT) == name_of(untrained)


def test_what_somebody_promoted_during_a_pass_serves_on(run, root, stored, tmp_path, untrained, meanwhile):
    studio = renamed_model(tmp_path / "studio", "studio")
    stored("eu", days_of(5))
    promote(root, untrained)
    keep_as(root, CANDIDATE, BUILT_IN_MODEL)
    meanwhile(lambda: promote(root, studio))
    done = run("--auto", "--days", "3")
    assert "candidate: other models stand there than at its beginning" in done.output
    assert name_of(root / CURRENT) == name_of(studio)


def test_a_training_of_less_than_a_week_ago_is_not_repeated(run, stored):
    stored("eu", days_of(3))
    assert "train: not yet: the last training was 0.0 days ago" in run().output


@pytest.fixture
def told() -> Iterator[tuple[str, list[str]]]:
    """A webhook: its URL, and what it was told."""
    texts: list[str] = []

    class Webhook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            texts.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Webhook) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/secret", texts
        server.shutdown()


def test_a_webhook_is_told_what_changed_and_nothing_else(run, root, stored, untrained, tmp_path, told):
    url, texts = told
    (tmp_path / "url").write_text(url + "\n")
    stored("eu", days_of(5))
    promote(root, untrained)
    assert "webhook" not in run("--notify-url-file", tmp_path / "url").output
    keep_as(root, CANDIDATE, BUILT_IN_MODEL)
    done = run("--auto", "--days", "3", "--notify-url-file", tmp_path / "url")
    assert "told the webhook" in done.output
    assert "secret" not in done.output
    (text,) = texts
    assert "it serves" in text
    assert "watch" not in text


def test_a_webhook_that_is_not_there_costs_nothing(run, root, stored, untrained, tmp_path):
    (tmp_path / "url").write_text("http://127.0.0.1:1/secret")
    stored("eu", days_of(5))
    promote(root, untrained)
    keep_as(root, CANDIDATE, BUILT_IN_MODEL)
    done = run("--auto", "--days", "3", "--notify-url-file", tmp_path / "url")
    assert done.exit_code == 0, done.output
    assert "told nobody: MaxRetryError" in done.output


@pytest.mark.parametrize(
    ("case", "name", "said"),
    [
        ("the directory cannot be made", "file/models", "watch: given up after 3 attempts"),
        ("the record cannot be replaced", "models", "learned.json cannot be written: "),
    ],
)
def test_models_that_cannot_be_written_are_said_to_the_webhook(
    store, root, stored, tmp_path, told, monkeypatch, case, name, said
):
    url, texts = told
    monkeypatch.setattr(module.time, "sleep", lambda _: None)
    (tmp_path / "url").write_text(url)
    (tmp_path / "file").touch()
    (root / "learned.json").mkdir()
    stored("eu", days_of(3))
    arguments = ["--store", store, "--models", str(tmp_path / name), "--notify-url-file", str(tmp_path / "url")]
    done = CliRunner().invoke(learn, arguments)
    assert (done.exit_code, type(done.exception)) == (1, SystemExit), case
    (text,) = texts
    assert said in text
    assert said in done.output
    assert f"record: {tmp_path / name / 'learned.json'} cannot be written: " in text
    assert "Errno" not in text
    assert not list(root.glob(".learned*"))


FIRST_PASS = NOW // DAY * DAY + 13200  # 03:40


class Mornings:
    """Passes at 03:40, day after day, over one fleet that is observed until five minutes before.

    The training process is made up: it leaves the built-in network, which learned until the last observation.
    trained  the days, from 0, on which it ran
    """

    def __init__(self, store: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.trained: list[int] = []
        self._store, self._root, self._monkeypatch = store, root, monkeypatch
        self._day, self._written = 0, FIRST_PASS - 10 * DAY
        monkeypatch.setattr(module.subprocess, "run", self._train)

    def said(self, day: int, *more: str, observed: bool = True) -> dict[str, str]:
        """What each step of that morning's pass said."""
        self._day, at = day, FIRST_PASS + day * DAY
        if observed:
            self._observe(np.arange(self._written, at, 300.0))
        self._monkeypatch.setattr("autopilot.learning.commands.asked.time.time", lambda: at)
        done = CliRunner().invoke(learn, ["--store", self._store, "--models", str(self._root), "--every", "7d", *more])
        assert done.exit_code == 0, done.output
        return {one["step"]: one["text"] for one in json.loads((self._root / "learned.json").read_text())["steps"]}

    def _observe(self, times: np.ndarray) -> None:
        demand = np.round(100 + 50 * np.sin(times / DAY * 2 * np.pi)) + np.arange(len(times)) % 3
        history = sqlite(self._store)
        history.record([Observed("eu", *one) for one in zip(times.tolist(), demand.tolist(), strict=True)])
        history.close()
        self._written = float(times[-1]) + 300

    def _train(self, words: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        job = Path(words[words.index("--root") + 1])
        renamed_model(job / "model", f"day{self._day}")
        rewrite_metadata(job / "model", learned_until=rfc3339(self._written - 300))
        (job / "output/data").mkdir(parents=True)
        (job / "output/data/report.html").touch()
        self.trained.append(self._day)
        return subprocess.CompletedProcess(words, 0, "", "")


@pytest.fixture
def mornings(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mornings:
    return Mornings(store, tmp_path / "kept", monkeypatch)


def test_trained_at_3_40_a_candidate_that_wins_every_week_serves_on_the_eighth_day(mornings, tmp_path, untrained):
    promote(tmp_path / "kept", untrained)
    said = [mornings.said(day, "--auto") for day in range(9)]
    assert "4 whole days are stored that it did not learn from, 7 are asked for" in said[5]["candidate"]
    assert said[5]["train"] == "not yet: the last training was 5.0 days ago"
    assert "6 whole days are stored" in said[7]["candidate"]
    assert "is on trial until 7 whole days are stored that it did not learn from" in said[7]["train"]
    assert said[8]["candidate"].endswith("over 7 days: it serves")
    assert name_of(tmp_path / "kept" / CURRENT).startswith("day0@")
    assert mornings.trained == [0, 8]


def test_a_candidate_without_proof_gives_way_when_its_trial_is_over(mornings, tmp_path):
    said = [mornings.said(day, "--auto") for day in range(9)]
    assert "that is no proof that it is less" in said[8]["candidate"]
    assert mornings.trained == [0, 8]
    assert name_of(tmp_path / "kept" / CANDIDATE).startswith("day8@")


def test_a_candidate_whose_days_never_come_is_not_waited_for_for_ever(mornings):
    for day in range(12):
        mornings.said(day, "--auto", observed=day < 3)
    assert mornings.trained == [0, 11]


def test_a_proven_candidate_stays_until_somebody_promotes_it(mornings, tmp_path, untrained):
    promote(tmp_path / "kept", untrained)
    said = [mornings.said(day) for day in range(13)]
    assert "autopilot promote" in said[12]["candidate"]
    assert "has proven itself, and is to be promoted first" in said[12]["train"]
    assert mornings.trained == [0]
