"""Which sizes keep every pod in use, where the order in which pods go is known."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autopilot_client.kube.pods import Pod
from autopilot_client.kube.removal_order import (
    GOES,
    IN_USE,
    OPS_STATE,
    PRIORITY,
    least_of_game_servers,
    least_of_ordinals,
)

BUSY = "state=busy"


def pod(ordinal, busy=False, running=True):
    return Pod(f"raid-{ordinal}", {"state": "busy" if busy else "idle"}, running, True)


def server(ordinal, ops="None", priority="0", busy=False):
    one = pod(ordinal, busy)
    return Pod(one.name, one.labels | {OPS_STATE: ops, PRIORITY: priority}, True, True)


STATEFUL = {
    "nobody plays": ([pod(0), pod(1)], 0, 0),
    "the last plays": ([pod(0), pod(1), pod(2, True)], 0, 3),
    "the first plays": ([pod(0, True), pod(1), pod(2)], 0, 1),
    "ordinals begin at 5": ([pod(5), pod(6, True), pod(7)], 5, 2),
    "one has ended": ([pod(0, True), pod(1, True, running=False)], 0, 1),
    "one below is missing": ([pod(0), pod(3, True)], 0, 4),
    "there are none": ([], 0, 0),
}


@pytest.mark.parametrize("case", STATEFUL)
def test_a_statefulset_keeps_all_up_to_its_highest_pod_in_use(case):
    pods, first, least = STATEFUL[case]
    assert least_of_ordinals(pods, BUSY, first) == least


GAME_SERVERS = {
    "nobody plays": ([server(0), server(1)], 0),
    "the last is allocated: it goes after the others": ([server(0), server(1), server(2, "Allocated")], 1),
    "the last is busy and its state does not say so": ([server(0), server(1), server(2, busy=True)], 3),
    "a busy one waits to be deleted": ([server(0), server(1, "WaitToBeDeleted", busy=True)], 2),
    "maintaining counts as in use": ([server(0), server(1), server(2, "Maintaining")], 1),
    "a low priority keeps a busy one longest": ([server(0, priority="10"), server(1, priority="-5", busy=True)], 1),
    "a priority that is no number is none": ([server(0, priority="x"), server(1, busy=True)], 2),
}


@pytest.mark.parametrize("case", GAME_SERVERS)
def test_a_gameserverset_keeps_all_from_the_first_in_use_on(case):
    servers, least = GAME_SERVERS[case]
    assert least_of_game_servers(servers, BUSY) == least


SERVER = st.tuples(st.sampled_from([*GOES, "None"]), st.integers(-3, 3), st.booleans())


@given(st.lists(SERVER, max_size=12), st.integers(0, 12))
def test_no_size_from_there_on_takes_a_game_server_in_use(drawn, size):
    servers = [server(n, ops, str(priority), busy) for n, (ops, priority, busy) in enumerate(drawn)]
    kept = max(size, least_of_game_servers(servers, BUSY))
    order = sorted(
        servers,
        key=lambda s: (GOES.get(s.labels[OPS_STATE], 0), int(s.labels[PRIORITY]), int(s.name[5:])),
        reverse=True,
    )
    gone = order[: max(0, len(order) - kept)]
    assert not [s for s in gone if s.labels["state"] == "busy" or s.labels[OPS_STATE] in IN_USE]
