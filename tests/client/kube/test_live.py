"""The size at the moment of asking: short looks, few at once, and none for a while where the API server is away."""

import threading

import pytest

from autopilot_client.kube.api import Kube
from autopilot_client.kube.live import AT_ONCE, FORBIDDEN_SECONDS, REST_SECONDS, LiveSpecs
from autopilot_client.ports import KubeRefusedError, KubeUnavailableError
from autopilot_client.rules.domain import Spec
from autopilot_client.rules.kinds import ObjectPlace
from testkit.client.standins import Cluster, connection, serving, wait_until


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def cluster():
    found = Cluster()
    found.add("fleets", "x", 20, readyReplicas=25)
    return found


X = ObjectPlace("", "fleet/x")


@pytest.fixture
def live(cluster):
    with serving(cluster) as url:
        yield LiveSpecs(Kube(connection(url), "games", 60, 60), Clock())


def test_it_tells_the_size_of_the_spec_and_the_uid(live):
    assert live(X) == Spec(20, "uid-x")


def test_what_may_not_be_read_is_asked_for_once(live, cluster):
    cluster.refuse = {"/fleets/": 403}
    assert [live(X) for _ in range(3)] == [None] * 3
    assert len(cluster.calls) == 1


def test_what_may_be_read_again_is_seen_after_a_while(live, cluster):
    cluster.refuse = {"/fleets/": 403}
    assert live(X) is None
    cluster.refuse = {}
    live.clock.now += FORBIDDEN_SECONDS
    assert live(X) == Spec(20, "uid-x")


def test_what_is_gone_is_an_error(live, cluster):
    cluster.objects.clear()
    with pytest.raises(KubeRefusedError):
        live(X)


def test_an_api_server_that_is_away_is_not_asked_again_for_a_while(live, cluster):
    cluster.refuse = {"GET": 503}
    for _ in range(3):
        with pytest.raises(KubeUnavailableError):
            live(X)
    assert len(cluster.calls) == 1
    cluster.refuse = {}
    live.clock.now += REST_SECONDS
    assert live(X) == Spec(20, "uid-x")


def test_a_slow_api_server_holds_only_some_threads_of_the_port():
    release, waiting = threading.Event(), []

    def slow(method, path, body):
        waiting.append(path)
        release.wait(60)
        return 503, b""

    with serving(slow) as url:
        live = LiveSpecs(Kube(connection(url), "games", 60, 60), Clock())

        def ask():
            with pytest.raises(KubeUnavailableError):
                live(X)

        threads = [threading.Thread(target=ask) for _ in range(AT_ONCE)]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(waiting) == AT_ONCE)
        ask()  # one more is told at once
        release.set()
        for thread in threads:
            thread.join()
    assert len(waiting) == AT_ONCE
