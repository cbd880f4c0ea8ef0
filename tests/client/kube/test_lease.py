"""The election over a small server of one Lease: conflicts, lost answers, a server that refuses, another holder."""

import json
import logging

import pytest

from autopilot_client.config.document import Lease
from autopilot_client.kube.api import Kube
from autopilot_client.kube.lease import BILLED, Leadership
from autopilot_client.ports import KubeError, KubeRefusedError, KubeUnavailableError
from autopilot_client.rules.bill import week_of_monday
from testkit.client.standins import as_json, connection, serving, wait_until


class LeaseServer:
    """One Lease with its version. `status` refuses every call; `lose_answer` writes, and then fails."""

    def __init__(self):
        self.holder, self.version, self.status, self.lose_answer = "", 1, 200, False
        self.annotations: dict[str, str] = {}

    def __call__(self, method, path, body):
        if self.status != 200:
            return as_json({"message": "refused by the test"}, self.status)
        if method == "PATCH":
            patch = json.loads(body)
            if patch["metadata"]["resourceVersion"] != str(self.version):
                return as_json({"message": "the object has been modified"}, 409)
            self.write(patch["spec"]["holderIdentity"])
            self.annotations |= patch["metadata"].get("annotations", {})
            if self.lose_answer:
                raise ConnectionError("the answer is lost")
        spec = {"holderIdentity": self.holder, "leaseDurationSeconds": 15}
        metadata = {"name": "leader", "resourceVersion": str(self.version), "annotations": self.annotations}
        return as_json({"metadata": metadata, "spec": spec})

    def write(self, holder: str) -> None:
        self.holder, self.version = holder, self.version + 1


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def lease():
    return LeaseServer()


@pytest.fixture
def candidate(lease):
    with serving(lease) as url:
        yield lambda name="me", **settings: Leadership(
            Kube(connection(url), "games", 10, 60), Lease(**settings), name, Clock()
        )


def test_a_free_lease_is_taken_and_handed_back(lease, candidate):
    me = candidate()
    me.step()
    assert (me.leads(), lease.holder) == (True, "me")
    me.stop()
    assert (me.leads(), lease.holder) == (False, "")


def test_what_was_told_of_bills_is_in_the_lease_for_the_replicas_to_come(lease, candidate):
    me = candidate()
    me.step()
    assert lease.annotations == {}
    me.ledger.here = week_of_monday("2024-11-18")
    me.step()
    assert lease.annotations == {BILLED: "2024-11-18"}
    me.stop()
    other = candidate("other")
    other.step()
    assert other.ledger.told == week_of_monday("2024-11-18")
    lease.annotations[BILLED] = "someday"
    third = candidate("third")
    third.step()
    assert third.ledger.told is None


def test_a_week_to_come_that_someone_wrote_into_the_lease_stops_no_bill_and_is_put_right(lease, candidate):
    lease.annotations[BILLED] = "9999-12-27"
    me = candidate()
    me.step()
    assert me.ledger.told is None
    me.ledger.here = week_of_monday("2024-11-25")
    me.step()
    assert lease.annotations == {BILLED: "2024-11-25"}


def test_of_two_that_see_a_free_lease_one_leads(lease, candidate):
    one, two = candidate("one"), candidate("two")
    read = two._read

    def meanwhile():
        found = read()
        one.step()
        return found

    two._read = meanwhile
    with pytest.raises(KubeRefusedError):
        two.step()
    assert (one.leads(), two.leads(), lease.holder) == (True, False, "one")


def test_leadership_runs_out_while_the_server_is_away_and_comes_back_with_it(lease, candidate):
    me = candidate()
    me.step()
    lease.status = 503
    for _ in range(3):
        me._clock.now += 3
        with pytest.raises(KubeUnavailableError):
            me.step()
    assert me.leads()
    me._clock.now += 1.1
    assert not me.leads()
    lease.status = 200
    me.step()
    assert me.leads()


def test_a_renewal_whose_answer_was_lost_costs_one_turn_and_not_the_lease(lease, candidate):
    me = candidate()
    me.step()
    lease.lose_answer = True
    with pytest.raises(KubeUnavailableError):
        me.step()
    assert me.leads()
    lease.lose_answer = False
    with pytest.raises(KubeRefusedError):
        me.step()
    assert not me.leads()
    me.step()
    assert (me.leads(), lease.holder) == (True, "me")


def test_a_leader_whose_lease_is_gone_stops_acting_at_once(lease, candidate):
    """Another replica may have made it anew, and leads."""
    me = candidate()
    me.step()
    lease.status = 404
    with pytest.raises(KubeRefusedError):
        me.step()
    assert not me.leads()


def test_a_holder_that_renews_is_never_replaced_and_a_silent_one_after_its_lease(lease, candidate):
    lease.write("other")
    me = candidate()
    for _ in range(10):
        me._clock.now += 14
        lease.write("other")
        me.step()
    assert not me.leads()
    me._clock.now += 15
    me.step()
    assert (me.leads(), lease.holder) == (True, "me")


@pytest.mark.parametrize(("status", "remedy"), [(403, "the Role must let the client"), (404, "it is missing")])
def test_a_lease_that_cannot_be_had_is_said_once_with_the_remedy(lease, candidate, caplog, status, remedy):
    lease.status = status
    me = candidate(renew_seconds=0.01)
    turns = []
    step = me.step
    me.step = lambda: turns.append(1) or step()
    with caplog.at_level(logging.INFO, "autopilot_client.kube.lease"):
        me.start()
        wait_until(lambda: len(turns) > 5)
        lease.status = 200
        wait_until(me.leads)
        wait_until(lambda: "reached again" in caplog.text)
        me.stop()
    assert caplog.text.count(remedy) == 1


@pytest.mark.parametrize("body", [b"", b"[]", b'{"metadata":{}}', b"<html>", b'{"metadata":{"resourceVersion":1}}'])
def test_an_answer_that_is_no_lease_leads_nobody(body):
    with serving(lambda *_: (200, body)) as url:
        me = Leadership(Kube(connection(url), "games"), Lease(), "me", Clock())
        with pytest.raises(KubeError):
            me.step()
        assert not me.leads()
