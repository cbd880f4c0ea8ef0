"""Ray Tune's ASHA: what is behind is given up, what is ahead is done, and what fails is told."""

from collections import deque
from importlib.util import find_spec

import pytest

from autopilot.engines.asha import GivenUp, engine_of
from autopilot.engines.choose import EngineChoice, open_engine
from autopilot.engines.serial import SerialEngine
from autopilot.ports import EngineError, ItemFailure
from tests.engines.work import KilledAt, Telling

tuned = pytest.mark.skipif(find_spec("ray") is None or find_spec("pyarrow") is None, reason="no Ray Tune: make ray")


@pytest.fixture(scope="module")
def asha():
    with open_engine(EngineChoice("ray", workers=2)) as engine:
        yield engine_of("asha", engine)


def test_without_a_scheduler_the_engine_is_the_one_that_was_opened():
    engine = SerialEngine()
    assert engine_of("none", engine) is engine


@pytest.mark.skipif(find_spec("pyarrow") is not None, reason="Ray Tune is installed")
def test_without_tune_the_extra_is_named():
    with pytest.raises(EngineError, match=r"scheduler=asha needs Ray Tune.*pip install 'gameserver-autopilot\[tune\]'"):
        engine_of("asha", SerialEngine())


@tuned
def test_what_is_behind_is_given_up_what_is_ahead_is_done_and_what_fails_is_told(asha):
    outcomes = dict(asha.map(Telling(fails=9), [1, 2, 3, 4, 5, 9]))
    assert outcomes[0] == 10, "nobody is ahead of it"
    assert isinstance(failure := outcomes.pop(5), ItemFailure)
    assert str(failure) == "ValueError: 9 is not done here"
    given_up = [one for one in outcomes.values() if isinstance(one, GivenUp)]
    assert given_up
    assert all(one.reports in {2, 6} and one.cost >= 2 for one in given_up)


@tuned
def test_an_item_that_kills_every_worker_is_told(asha):
    outcomes = dict(asha.map(KilledAt(5), [5]))
    assert isinstance(outcomes[0], ItemFailure)
    assert outcomes[0].kind == "WorkerLost"


class EndedError(Exception):
    pass


@tuned
def test_a_check_ends_all_of_it(asha):
    def check():
        if done:
            raise EndedError

    done = []
    with pytest.raises(EndedError):
        deque(map(done.append, asha.map(Telling(), range(1, 1000), check)))
    assert len(done) < 20


@tuned
def test_no_items_are_no_results(asha):
    assert list(asha.map(Telling(), [])) == []
