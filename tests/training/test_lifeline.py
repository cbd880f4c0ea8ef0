"""The line between the hosts of a job, over real sockets on this machine."""

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

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


def test_refusals_are_counted_and_said_once(lead, joined):
    for _ in range(3):
        with pytest.raises(JobError, match="RAY_AUTH_TOKEN is not the one of the head"):
            joined("algo-2", "another secret of sixteen characters")
    with pytest.raises(JobError, match=r"; a host with another RAY_AUTH_TOKEN was refused 3 times: all"):
        lead.wait(0.3, never)


STRAY = {
    "nothing": b"",
    "HTTP": b"GET / HTTP/1.0\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "a length without end": b"\xff" * 12,
    "a length below none": b"\x80\x00\x00\x00",
    "half a message": b"\x00\x00\x00\x10abc",
}


@pytest.mark.parametrize("said", STRAY.values(), ids=STRAY.keys())
def test_somebody_who_only_looks_is_no_host(lead, said, joined):
    with socket.create_connection((LOCAL, lifeline.PORT)) as stray:
        stray.sendall(said)
        stray.shutdown(socket.SHUT_WR)
        until_hung_up(stray)
    joined("algo-2")
    here(lead)


def until_hung_up(stray):
    stray.settimeout(30)
    try:
        while stray.recv(1024):
            pass
    except ConnectionError:
        pass  # with bytes of ours unread


def test_who_connects_and_says_nothing_keeps_nobody_waiting(lead, joined):
    with socket.create_connection((LOCAL, lifeline.PORT)) as silent:
        assert silent.recv(4), "it is at the door"
        joined("algo-2")
        here(lead)


def test_a_door_full_of_silence_is_cleared(monkeypatch, stops, joined):
    monkeypatch.setattr(lifeline, "STRANGERS", 2)
    monkeypatch.setattr(lifeline, "HANDSHAKE_SECONDS", 0.5)
    lead = JobHead(LOCAL, ["algo-2"], TOKEN, stops.set)
    with ExitStack() as kept:
        kept.callback(lead.close)
        silent = [kept.enter_context(socket.create_connection((LOCAL, lifeline.PORT))) for _ in range(3)]
        assert all(one.recv(4) for one in silent), "all places are taken"
        joined("algo-2")
        until(lambda: not lead.missing, "algo-2 is there")
        for one in silent:
            until_hung_up(one)


def test_a_place_where_nobody_answers_is_left_at_the_deadline():
    said = f"the head {LOCAL} did not come within .*does not answer"
    with socket.create_server((LOCAL, lifeline.PORT)), pytest.raises(JobError, match=said):
        follow(LOCAL, "algo-2", TOKEN, 0.3, never)


def test_a_place_that_is_no_head_is_named():
    with socket.create_server((LOCAL, lifeline.PORT)) as other, ThreadPoolExecutor(1) as pool:
        following = pool.submit(follow, LOCAL, "algo-2", TOKEN, 0.3, never)
        while not following.done():
            other.settimeout(0.1)
            try:
                peer, _ = other.accept()
            except TimeoutError:
                continue
            with peer:
                peer.sendall(b"\x00\x00\x00\x05hello")
        with pytest.raises(JobError, match="what answers there is no head"):
            following.result()


def test_a_follower_that_is_not_answered_tries_again(monkeypatch, stops):
    monkeypatch.setattr(lifeline, "HANDSHAKE_SECONDS", 0.5)
    with ThreadPoolExecutor(1) as pool, ExitStack() as kept:
        with socket.create_server((LOCAL, lifeline.PORT)) as other:
            following = pool.submit(follow, LOCAL, "algo-2", TOKEN, 30, never)
            kept.enter_context(other.accept()[0])
        lead = JobHead(LOCAL, ["algo-2"], TOKEN, stops.set)
        kept.callback(lead.close)
        kept.callback(following.result(30).close)
        until(lambda: not lead.missing, "algo-2 is there")


def test_a_head_that_has_closed_leaves_its_place(lead):
    lead.close()
    until(nobody_listens, "the port is free")


def nobody_listens():
    try:
        socket.create_connection((LOCAL, lifeline.PORT)).close()
    except ConnectionRefusedError:
        return True
    return False


def test_a_head_that_does_not_come_is_named():
    with pytest.raises(JobError, match=f"the head {LOCAL} did not come within"):
        follow(LOCAL, "algo-2", TOKEN, 0.3, never)


def test_two_heads_in_one_place_are_told(lead):
    with pytest.raises(JobError, match="does another job lead there"):
        JobHead(LOCAL, ["algo-2"], TOKEN, never)
