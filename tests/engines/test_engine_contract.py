"""What every engine promises, wherever it does the work."""

import os
from collections import deque
from contextlib import ExitStack
from importlib.util import find_spec

import pytest

from autopilot.engines.choose import EngineChoice, open_engine
from autopilot.ports import EngineError, ItemFailure
from tests.engines.work import KilledAt, Waiting, process_of, squared

RAY = pytest.param(
    "ray", marks=pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install '.[ray]'")
)


@pytest.fixture(scope="module")
def opened():
    """Engines, each begun once."""
    with ExitStack() as stack:
        engines = {}

        def opened(name):
            if name not in engines:
                engines[name] = stack.enter_context(open_engine(EngineChoice(name, workers=2)))
            return engines[name]

        yield opened


@pytest.fixture(params=["serial", "processes", RAY])
def engine(request, opened):
    return opened(request.param)


@pytest.fixture(params=["processes", RAY])
def elsewhere(request, opened):
    """An engine that works in other processes."""
    return opened(request.param)


def test_every_item_has_its_result_and_its_place(engine):
    assert dict(engine.map(squared, range(12))) == {number: number * number for number in range(12)}


def test_no_items_are_no_results(engine):
    assert list(engine.map(squared, [])) == []


def test_an_item_that_fails_is_told_and_the_others_are_done(engine):
    outcomes = dict(engine.map(squared, range(10, 16)))
    failure = outcomes.pop(3)
    assert isinstance(failure, ItemFailure)
    assert str(failure) == "ValueError: thirteen is not done here"
    assert "in squared" in failure.trace
    assert outcomes == {0: 100, 1: 121, 2: 144, 4: 196, 5: 225}


def test_items_are_taken_as_there_is_room(engine):
    taken = []

    def items():
        for number in range(100):
            taken.append(number)
            yield number

    results = engine.map(squared, items())
    next(results)
    assert len(taken) < 20
    results.close()


def test_the_next_map_knows_nothing_of_the_one_before(engine):
    engine.map(squared, range(50))
    assert dict(engine.map(str, [1, 2])) == {0: "1", 1: "2"}


class EndedError(Exception):
    pass


def test_a_check_ends_all_of_it(engine):
    def check():
        if done:
            raise EndedError

    done = []
    with pytest.raises(EndedError):
        deque(map(done.append, engine.map(squared, range(1000), check)))
    assert len(done) < 20


def test_a_check_ends_what_would_not_end_by_itself(elsewhere, tmp_path):
    def check():
        if any(tmp_path.iterdir()):
            raise EndedError

    with pytest.raises(EndedError):
        list(elsewhere.map(Waiting(tmp_path), range(2), check))
    assert dict(elsewhere.map(squared, [3])) == {0: 9}, "nothing that waits is in its way"


def test_the_work_is_done_elsewhere(elsewhere):
    assert os.getpid() not in dict(elsewhere.map(process_of, range(4))).values()


def test_a_worker_that_is_killed_changes_nothing(elsewhere, tmp_path):
    outcomes = dict(elsewhere.map(KilledAt(5, once=tmp_path / "killed"), range(12)))
    assert (tmp_path / "killed").exists()
    assert outcomes == {number: number * number for number in range(12)}


def test_an_item_that_kills_every_worker_is_told_and_the_others_are_done(elsewhere):
    outcomes = dict(elsewhere.map(KilledAt(5), range(12)))
    assert isinstance(failure := outcomes.pop(5), ItemFailure)
    assert failure.kind == "WorkerLost"
    assert outcomes == {number: number * number for number in range(12) if number != 5}


@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install '.[ray]'")
@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.0.0.1:none", "nowhere"])
def test_a_ray_cluster_that_nobody_answers_for_is_said_at_once(address):
    with (
        pytest.raises(EngineError, match=f"the Ray cluster at {address} cannot be joined"),
        open_engine(EngineChoice("ray", address=address)),
    ):
        pass
