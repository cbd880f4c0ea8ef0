"""`autopilot trial`: what a machine that serves models elsewhere is told to do with a candidate."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from autopilot.core.history import rfc3339
from autopilot.learning.commands import learn as module
from autopilot.learning.commands.asked import TimeType
from autopilot.learning.commands.trial import trial
from autopilot.learning.models import name_of
from autopilot.policy.learned import BUILT_IN_MODEL
from autopilot.policy.model_archive import pack
from autopilot.policy.model_place import ARCHIVE_FILE
from testkit.models import renamed_model, rewrite_metadata
from tests.learning.conftest import NOW, days_of

DAY = 86400.0


@pytest.fixture
def models(tmp_path: Path) -> Callable[..., Path]:
    """Lays out models as the platform does: each as an archive in a directory of its name."""

    def lay_out(**given: Path) -> Path:
        for name, model in given.items():
            place = tmp_path / "models" / name
            place.mkdir(parents=True)
            (place / ARCHIVE_FILE).write_bytes(pack(model))
        return tmp_path / "models"

    return lay_out


@pytest.fixture
def asked(store: str, tmp_path: Path) -> Callable[..., tuple[str, Result]]:
    """Asks for the outcome: what stands in the answer's file, and how the command ended."""

    def ask(models: Path, *more: str) -> tuple[str, Result]:
        answer = tmp_path / "output" / "message"
        arguments = ["--store", store, "--models", str(models), "--answer", str(answer), *more]
        done = CliRunner().invoke(trial, arguments)
        return answer.read_text() if answer.exists() else "", done

    return ask


@pytest.fixture
def default(tmp_path: Path) -> Path:
    """The built-in model under another name, which costs the same."""
    return renamed_model(tmp_path / "studio", "studio")


@pytest.fixture
def better(default: Path) -> Path:
    """A candidate that learned until long ago."""
    rewrite_metadata(default, learned_until=rfc3339(NOW - 30 * DAY))
    return default


def test_a_candidate_that_costs_less_for_days_is_to_be_promoted(asked, models, stored, untrained, better):
    stored("eu/racer", days_of(9))
    said, done = asked(models(served=untrained, candidate=better))
    assert done.exit_code == 0, done.output
    assert said.startswith("promote: studio@")
    assert said.endswith("over 8 days")


def test_of_a_candidate_on_trial_it_is_said_how_long_and_nothing_may_take_its_place(
    asked, models, stored, untrained, better
):
    rewrite_metadata(better, learned_until=rfc3339(NOW - 4 * DAY))
    stored("eu/racer", days_of(9))
    said, _ = asked(models(served=untrained, candidate=better))
    assert said.startswith("wait: ")
    assert "whole days are stored that it did not learn from, 7 are asked for" in said


def test_a_candidate_that_is_no_better_makes_room_for_the_next(asked, models, stored, better):
    stored("eu/racer", days_of(14))
    said, _ = asked(models(candidate=better))
    assert said.startswith("train: ")
    assert "that is no proof that it is less" in said


def test_where_there_is_neither_candidate_nor_promotion_training_may_begin(asked, models, stored):
    stored("eu/racer", days_of(1))
    assert asked(models())[0].startswith("train: default@")


def test_what_was_promoted_and_lost_is_to_be_taken_back_even_to_the_built_in_model(asked, models, stored, untrained):
    stored("eu/racer", days_of(9))
    said, _ = asked(models(served=untrained), "--promoted-at", rfc3339(NOW - 5 * DAY))
    assert said.startswith("take back: untrained@")
    assert said.endswith("costs more than what it replaced")


def test_what_was_promoted_is_watched_even_beside_a_candidate_that_cannot_serve(
    asked, models, stored, untrained, better
):
    stored("eu/racer", days_of(9))
    rewrite_metadata(better, features_version=1)
    said, _ = asked(models(served=untrained, candidate=better), "--promoted-at", rfc3339(NOW - 5 * DAY))
    assert said.startswith("take back: untrained@")


def test_an_outage_defers_a_promotion_asked_for_or_proven(asked, models, stored, untrained, better):
    stored("eu/racer", days_of(9), doubted=5)
    place = models(served=untrained, candidate=better)
    for more in ((), ("--asked",)):
        said, done = asked(place, *more)
        assert done.exit_code == 0, done.output
        assert said.startswith("deferred: ")
        assert "an outage is held for eu/racer" in said


def test_who_asks_needs_no_proof(asked, models, stored, untrained, better):
    stored("eu/racer", days_of(1))
    assert asked(models(served=better, candidate=untrained), "--asked")[0].startswith("promote: untrained@")


def test_who_asks_where_there_is_no_candidate_is_told_so(asked, models):
    assert asked(models(), "--asked")[0] == "refused: there is no candidate"


@pytest.mark.parametrize(("more", "outcome"), [((), "train"), (("--asked",), "refused")])
def test_a_candidate_of_another_version_never_serves_and_stands_in_no_training_s_way(
    asked, models, stored, better, more, outcome
):
    rewrite_metadata(better, features_version=99)
    stored("eu/racer", days_of(2))
    said, done = asked(models(candidate=better), *more)
    assert done.exit_code == 0, done.output
    assert said.startswith(f"{outcome}: the candidate cannot serve: ")


def test_a_store_that_does_not_answer_is_a_failure_and_no_outcome(asked, models, better, monkeypatch):
    monkeypatch.setattr(module.time, "sleep", lambda _: None)
    said, done = asked(models(candidate=better))
    assert (said, done.exit_code) == ("", 1)
    assert "history.sqlite3 is not there" in done.output


@pytest.mark.parametrize(
    ("time", "said"),
    [("yesterday", "say a time such as 2026-11-30T03:40:00Z, or -"),
     ("2026-11-30T03:40:00", "has no zone: say it too, as in 2026-11-30T03:40:00Z (UTC)"),
     ("2026-11-30", "has no zone")],
)  # fmt: skip
def test_a_time_that_is_none_or_that_of_no_zone_is_refused(asked, models, time, said):
    _, done = asked(models(), "--promoted-at", time)
    assert done.exit_code == 2
    assert said in " ".join(done.output.split())


@pytest.mark.parametrize("zone", ["Z", "+00:00", "-08:00"])
def test_a_time_is_one_of_its_zone_wherever_the_job_runs(zone):
    at = TimeType().convert(f"2026-11-30T03:40:00{zone}", None, None)
    assert at == datetime(2026, 11, 30, 11 if zone == "-08:00" else 3, 40, tzinfo=UTC).timestamp()


def test_what_a_person_promoted_anew_is_judged_by_the_days_since_and_none_before(asked, models, stored, untrained):
    stored("eu/racer", days_of(9))
    place = models(served=untrained)
    assert asked(place, "--promoted-at", rfc3339(NOW - 5 * DAY))[0].startswith("take back: ")
    assert asked(place, "--promoted-at", rfc3339(NOW - 60))[0].startswith("train: ")


OURS, OTHERS = name_of(BUILT_IN_MODEL), "default@0123abcd"


@pytest.mark.parametrize("policy", ["-", OURS])
def test_the_built_in_model_of_this_image_stands_for_the_one_that_answered(asked, models, stored, untrained, policy):
    stored("eu/racer", days_of(9))
    promoted = ("--promoted-at", rfc3339(NOW - 5 * DAY), "--previous-policy", policy, "--served-policy", "untrained@1")
    said, _ = asked(models(served=untrained), *promoted)
    assert said.startswith("take back: untrained@"), "an archive says itself what it is"


@pytest.mark.parametrize(
    ("case", "more", "name"),
    [("what serves", ("--served-policy", OTHERS), "served"),
     ("what was replaced", ("--promoted-at", rfc3339(NOW - 5 * DAY), "--previous-policy", OTHERS), "previous")],
)  # fmt: skip
def test_a_model_that_is_built_into_another_image_is_not_guessed(asked, models, stored, better, case, more, name):
    stored("eu/racer", days_of(9))
    said, done = asked(models(candidate=better), *more)
    assert done.exit_code == 0, case
    assert said.startswith(f"refused: {OTHERS} ({name}) is built into the endpoint's image, and {OURS} into this one")
    assert "let both images be of one version (LearningImageUri, or `deploy` anew)" in said


def test_of_what_nobody_promoted_no_replaced_model_is_missed(asked, models, stored):
    stored("eu/racer", days_of(1))
    assert asked(models(), "--previous-policy", OTHERS)[0].startswith("train: ")
