"""The line between the hosts of a job, over real sockets on this machine."""

import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from autopilot.training import lifeline
from autopilot.training.job import JobError, Stopped
from autopilot.training.lifeline import HeadEnded, JobHead, follow
from testkit.server import until

TOKEN = "a secret of more than sixteen characters"
LOCAL = "127.0.0.1"


@pytest.fixture(autouse=True)
def _port(monkeypatch):
    with socket.create_server((LOCAL, 0)) as probe:
        monkeypatch.setattr(lifeline, "PORT", probe.getsockname()[1])


@pytest.fixture
def stops():
    return threading.Event()


@pytest.fixture
def lead(stops):
    made = JobHead(LOCAL, ["algo-2", "algo-3"], TOKEN, stops.set)
    yield made
    made.close()


def here(lead):
    until(lambda: "algo-2" not in lead.missing, "algo-2 is there")


def never():
    pass


@pytest.fixture
def joined():
    """Joins the head; who has joined stays."""
    kept = []

    def joined(name, token=TOKEN):
        kept.append(follow(LOCAL, name, token, 30, never))
        return kept[-1]

    yield joined
    for one in kept:
        one.close()


def test_the_head_goes_on_when_all_are_there(lead, joined):
    with ThreadPoolExecutor(2) as pool:
        followers = list(pool.map(joined, ["algo-2", "algo-3"]))
    lead.wait(30, never)
    assert lead.missing == []
    assert [one.ended(0) for one in followers] == [None, None]


def test_who_does_not_come_is_named(lead, joined):
    joined("algo-2")
    with pytest.raises(JobError, match=r"^algo-3 did not come within 0\.005 minutes"):
        lead.wait(0.3, never)


def test_the_wait_can_be_stopped(lead):
    def stopped():
        raise Stopped

    with pytest.raises(Stopped):
        lead.wait(30, stopped)
    with pytest.raises(Stopped):
        follow(LOCAL, "algo-2", TOKEN, 30, stopped)


def test_followers_learn_the_status_and_end_after_the_head(lead, joined):
    follower = joined("algo-2")
    here(lead)
    lead.end(3)
    assert follower.ended(30) is None, "told, but the head is still there"
    assert follower.told == 3
    lead.close()
    assert follower.ended(30) == HeadEnded(3)


def test_only_the_first_word_on_the_end_counts(lead, joined):
    follower = joined("algo-2")
    here(lead)
    lead.end(0)
    lead.end(1)
    lead.close()
    assert follower.ended(30) is None
    assert follower.ended(30) == HeadEnded(0)


def test_a_head_that_is_lost_has_no_status(lead, joined):
    follower = joined("algo-2")
    here(lead)
    lead.close()
    assert follower.ended(30) == HeadEnded(None)


def test_a_follower_that_is_told_to_stop_tells_the_head(lead, stops, joined):
    joined("algo-2").ask_to_stop()
    assert stops.wait(30)


def test_a_follower_that_is_lost_may_come_again(lead, joined):
    first = joined("algo-2")
    here(lead)
    first.close()
    until(lambda: "algo-2" in lead.missing, "noticed")
    joined("algo-2")
    here(lead)


@pytest.mark.parametrize("name", ["algo-4", ""])
def test_a_host_of_another_job_is_refused(lead, name, joined):
    with pytest.raises(JobError, match="waits for no host"):
        joined(name).ended(30)


def test_two_hosts_of_one_name_are_not_let_in(lead, joined):
    joined("algo-2")
    here(lead)
    with pytest.raises(JobError, match="or has one of that name"):
        joined("algo-2").ended(30)


def test_another_token_is_refused_and_both_sides_say_so(lead, joined):
    with pytest.raises(JobError, match="RAY_AUTH_TOKEN is not the one of the head"):
        joined("algo-2", "another secret of sixteen characters")
    with pytest.raises(JobError, match="a host with another RAY_AUTH_TOKEN was refused"):
        lead.wait(0.3, never)


def test_somebody_who_only_looks_is_no_host(lead, joined):
    socket.create_connection((LOCAL, lifeline.PORT)).close()
    joined("algo-2")
    here(lead)


def test_a_head_that_does_not_come_is_named():
    with pytest.raises(JobError, match=f"the head {LOCAL} did not come within"):
        follow(LOCAL, "algo-2", TOKEN, 0.3, never)


def test_two_heads_in_one_place_are_told(lead):
    with pytest.raises(JobError, match="does another job lead there"):
        JobHead(LOCAL, ["algo-2"], TOKEN, never)
