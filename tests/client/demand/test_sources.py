"""Demand sources against real servers: what they read, and that nothing broken becomes a number."""

import itertools
import socket
import time
from urllib.parse import parse_qs, urlsplit

import pytest

from autopilot_client.config.demand import AgonesDemand, HttpDemandConfig, PodsDemand, PrometheusDemand
from autopilot_client.demand.agones import read_agones
from autopilot_client.demand.http import HttpSource
from autopilot_client.demand.pods import common_selector, demand_of_pods
from autopilot_client.demand.prometheus import read_prometheus
from autopilot_client.kube.pods import Pod
from autopilot_client.kube.targets import Target
from autopilot_client.net.fetch import RetryBudget
from autopilot_client.ports import DemandUnknownError
from autopilot_client.rules.counted import AgonesTotal, CountError, reading_of
from autopilot_client.rules.domain import Reading
from autopilot_client.status.review import parse_review
from testkit.client.standins import Document, as_json, serving

NOW = 1_790_000_000.0


def test_agones_counts_allocated_and_reserved_servers():
    target = Target(10, "1", "u", allocated=5, reserved=2)
    assert read_agones(target, 0.2, NOW) == Reading(7, NOW, sessions=7)


@pytest.mark.parametrize(
    ("ready", "used", "queue"),
    [
        pytest.param(0, 50, 10, id="none is ready: a share of what is in use"),
        pytest.param(0, 1, 1, id="rounded up"),
        pytest.param(1, 50, None, id="one is ready: nobody waits"),
        pytest.param(None, 50, None, id="a status that does not say"),
        pytest.param(0, 0, None, id="nobody plays"),
    ],
)
def test_a_fleet_without_a_ready_server_hides_a_queue(ready, used, queue):
    target = Target(60, "1", "u", allocated=used, ready=ready)
    assert read_agones(target, 0.2, NOW) == Reading(used, NOW, sessions=used, queue=queue)
    status = {"replicas": 60, "allocatedReplicas": used} | ({} if ready is None else {"readyReplicas": ready})
    review = parse_review({"request": {"status": status}})
    assert reading_of(review.status, None, 0.2, NOW) == Reading(used, NOW, sessions=used, queue=queue)


@pytest.mark.parametrize("target", [None, Target(10, "1", "u")])
def test_an_agones_status_that_does_not_say_is_unknown(target):
    with pytest.raises(DemandUnknownError):
        read_agones(target, 0.2, NOW)


def a_fleet(**more):
    """Ten servers of 64 players each, four of them allocated, and none of them ready."""
    return Target(10, "1", "u", allocated=4, ready=0, servers=10, **more)


COUNTED = {
    "a counter, of a tenth of the capacity each": (AgonesDemand(counter="players"), AgonesTotal(160, 640), 2.5, None),
    "a given size, for servers of several sizes": (
        AgonesDemand(counter="players", per_server=32), AgonesTotal(160, 640), 5.0, None,
    ),
    "no room is left: players wait": (AgonesDemand(counter="players"), AgonesTotal(640, 640), 10.0, 1),
    "room for less than one server": (AgonesDemand(counter="players"), AgonesTotal(600, 640), 9.375, 1),
}  # fmt: skip


@pytest.mark.parametrize("case", COUNTED)
def test_a_counter_of_agones_is_demand_in_servers(case):
    source, counted, demand, queue = COUNTED[case]
    target = a_fleet(counters={"players": counted})
    assert read_agones(target, 0.2, NOW, source) == Reading(demand, NOW, sessions=4, queue=queue)


@pytest.mark.parametrize("case", COUNTED)
def test_a_counter_in_a_review_is_the_same_demand(case):
    source, counted, demand, queue = COUNTED[case]
    totals = {"players": {"count": counted.count, "capacity": counted.capacity, "allocatedCount": 1}}
    status = {"replicas": 10, "allocatedReplicas": 4, "readyReplicas": 0, "counters": totals, "lists": None}
    review = parse_review({"request": {"status": status}})
    assert reading_of(review.status, source.counted, 0.2, NOW) == Reading(demand, NOW, sessions=4, queue=queue)


@pytest.mark.parametrize("counters", [{"players": {"count": "many"}}, ["players"], {"players": 3}, "players", {}])
def test_a_counter_in_a_review_that_cannot_be_read_is_unknown_and_the_review_still_one(counters):
    status = {"replicas": 10, "allocatedReplicas": 4, "readyReplicas": 1, "counters": counters}
    review = parse_review({"request": {"status": status}})
    assert reading_of(review.status, None, 0.2, NOW).demand == 4
    with pytest.raises(CountError, match="has no counter 'players'"):
        reading_of(review.status, AgonesDemand(counter="players").counted, 0.2, NOW)


def test_a_list_of_agones_is_counted_by_its_values():
    target = a_fleet(lists={"rooms": AgonesTotal(30, 100)})
    assert read_agones(target, 0.2, NOW, AgonesDemand(list="rooms")).demand == 3


@pytest.mark.parametrize(
    ("counters", "why"),
    [
        ({}, "the Fleet's status has no counter 'players'"),
        ({"rooms": AgonesTotal(1, 2)}, "the Fleet's status has no counter 'players'"),
        ({"players": AgonesTotal(3, 0)}, "has no capacity; write per_server"),
        ({"players": AgonesTotal(-3, 640)}, "has no capacity"),
    ],
)
def test_a_counter_that_is_not_there_is_unknown_and_not_zero(counters, why):
    with pytest.raises(DemandUnknownError, match=why):
        read_agones(a_fleet(counters=counters), 0.2, NOW, AgonesDemand(counter="players"))


def test_players_become_servers_where_it_is_said_how_many_fit_on_one():
    with serving(Document({"players": 1280, "waiting": 32})) as url:
        source = HttpDemandConfig(url=url, field="players", queue_field="waiting", per_server=64)
        assert HttpSource(NOW).read(source) == Reading(20, NOW, queue=0.5)


def test_a_matchmaker_may_nest_its_numbers():
    document = {"fleets": [{"demand": 86.5, "queue": 6, "live": "80", "at": "2026-09-21T13:33:00Z"}]}
    with serving(Document(document)) as url:
        source = HttpDemandConfig(
            url=url,
            field="fleets.0.demand",
            queue_field="fleets.0.queue",
            sessions_field="fleets.0.live",
            at_field="fleets.0.at",
        )
        reading = HttpSource(1789997590.0).read(source)
    assert reading == Reading(86.5, 1789997580.0, sessions=80, queue=6.0)


def test_one_fetch_serves_every_fleet_of_the_same_url():
    service = Document({"a": 1, "b": 2})
    with serving(service) as url:
        sources = [HttpDemandConfig(url=url, field=field) for field in ("a", "b")]
        web = HttpSource(NOW)
        web.prefetch(sources)
        assert [web.read(source).demand for source in sources] == [1, 2]
    assert service.hits == 1


@pytest.mark.parametrize(
    ("document", "status"),
    [
        pytest.param({"demand": None}, 200, id="null"),
        pytest.param({"demand": "NaN"}, 200, id="NaN"),
        pytest.param({"demand": -1}, 200, id="negative"),
        pytest.param({"demand": True}, 200, id="a truth value"),
        pytest.param({}, 200, id="missing"),
        pytest.param([], 200, id="another shape"),
        pytest.param({"demand": 5}, 500, id="a server error"),
        pytest.param({"demand": 5}, 302, id="a redirect"),
        pytest.param({"demand": 5, "at": NOW - 301}, 200, id="stale"),
        pytest.param({"demand": 5, "at": (NOW - 301) * 1000}, 200, id="stale, in milliseconds"),
        pytest.param({"demand": 5, "at": NOW + 60}, 200, id="a minute ahead"),
        pytest.param({"demand": 5, "at": NOW + 3600}, 200, id="an hour ahead"),
        pytest.param({"demand": 5, "at": NOW * 1e6}, 200, id="in microseconds: thousands of years ahead"),
    ],
)
def test_a_broken_matchmaker_is_unknown_never_zero(document, status):
    with serving(Document(document, status)) as url:
        at = "at" if isinstance(document, dict) and "at" in document else None
        with pytest.raises(DemandUnknownError):
            HttpSource(NOW).read(HttpDemandConfig(url=url, at_field=at))


@pytest.mark.parametrize(
    ("at", "seen_at"),
    [
        pytest.param(NOW - 200, NOW - 200, id="seconds"),
        pytest.param((NOW - 200) * 1000, NOW - 200, id="milliseconds"),
        pytest.param(NOW + 59, NOW, id="a skew below a minute is now"),
    ],
)
def test_a_time_that_can_be(at, seen_at):
    with serving(Document({"demand": 5, "at": at})) as url:
        assert HttpSource(NOW).read(HttpDemandConfig(url=url, at_field="at")) == Reading(5, seen_at)


def test_a_matchmaker_may_count_its_arrivals():
    with serving(Document({"demand": 5, "begun": 5_000_000_000})) as url:
        reading = HttpSource(NOW).read(HttpDemandConfig(url=url, arrivals_field="begun"))
    assert reading.arrivals == 5_000_000_000


@pytest.mark.parametrize("body", [b"", b"<html>", b"12x", b"x" * (2 << 20)])
def test_a_reply_that_is_no_json_is_unknown(body):
    with serving(lambda *_: (200, body)) as url, pytest.raises(DemandUnknownError):
        HttpSource(NOW).read(HttpDemandConfig(url=url))


def test_a_matchmaker_that_is_gone_is_unknown():
    with serving(Document({})) as url:
        pass
    with pytest.raises(DemandUnknownError):
        HttpSource(NOW).read(HttpDemandConfig(url=url, timeout_seconds=1))


def test_a_token_file_is_sent(tmp_path):
    (tmp_path / "token").write_text("secret\n")
    with serving(Document({"demand": 3})) as url:
        source = HttpDemandConfig(url=url, token_file=str(tmp_path / "token"))
        assert HttpSource(NOW).read(source).demand == 3
        with pytest.raises(DemandUnknownError, match="No such file"):
            HttpSource(NOW).read(HttpDemandConfig(url=url + "/b", token_file=str(tmp_path / "none")))


class Prometheus:
    """Answers queries from a dictionary: a list of values is a vector, a number a scalar."""

    def __init__(self, **results):
        self.results = results

    def __call__(self, method, path, body):
        value = self.results[parse_qs(urlsplit(path).query)["query"][0]]
        if isinstance(value, list):
            vector = [{"metric": {}, "value": [NOW, str(v)]} for v in value]
            return as_json({"status": "success", "data": {"resultType": "vector", "result": vector}})
        if value is None:
            return as_json({"status": "error", "error": "boom"})
        return as_json({"status": "success", "data": {"resultType": "scalar", "result": [NOW, str(value)]}})


@pytest.mark.parametrize("warnings", [["remote read: partial"], "cut"])
def test_a_partial_answer_of_prometheus_is_unknown(warnings):
    """Thanos and Mimir answer with what is left when a store is away, and a warning."""
    data = {"resultType": "vector", "result": [{"metric": {}, "value": [NOW, "80"]}]}
    partial = Document({"status": "success", "warnings": warnings, "data": data})
    with serving(partial) as url, pytest.raises(DemandUnknownError, match="a partial answer"):
        read_prometheus(PrometheusDemand(url=url, query="d"), NOW)


def test_an_age_a_little_below_zero_is_the_difference_of_two_clocks():
    with serving(Prometheus(d=[5], a=[-20])) as url:
        assert read_prometheus(PrometheusDemand(url=url, query="d", age_query="a"), NOW).at == NOW


@pytest.mark.parametrize("age", ["NaN", "+Inf", -61, "soon"])
def test_an_age_that_is_none_is_unknown(age):
    with serving(Prometheus(d=[5], a=[age])) as url, pytest.raises(DemandUnknownError):
        read_prometheus(PrometheusDemand(url=url, query="d", age_query="a"), NOW)


def test_prometheus_counts_arrivals():
    with serving(Prometheus(d=[5], n=["41230"])) as url:
        assert read_prometheus(PrometheusDemand(url=url, query="d", arrivals_query="n"), NOW).arrivals == 41230


def test_prometheus_gives_demand_queue_sessions_and_age():
    with serving(Prometheus(d=[86], q=[6], s=[80], a=30)) as url:
        source = PrometheusDemand(url=url, query="d", queue_query="q", sessions_query="s", age_query="a")
        assert read_prometheus(source, NOW) == Reading(86, NOW - 30, sessions=80, queue=6)


def test_several_queries_for_one_thing_are_added_up():
    with serving(Prometheus(d=[80], e=[48], q=[6], r=[10])) as url:
        source = PrometheusDemand(url=url, query=("d", "e"), queue_query=("q", "r"), per_server=16)
        assert read_prometheus(source, NOW) == Reading(8, NOW, queue=1)


@pytest.mark.parametrize("broken", [[], [1, 2], ["NaN"], None])
def test_of_several_queries_one_that_is_unknown_makes_all_unknown(broken):
    with serving(Prometheus(d=[80], e=broken)) as url, pytest.raises(DemandUnknownError):
        read_prometheus(PrometheusDemand(url=url, query=("d", "e")), NOW)


@pytest.mark.parametrize("result", [[], [1, 2], ["NaN"], ["+Inf"], [-1], None])
def test_a_prometheus_answer_that_is_not_one_number_is_unknown(result):
    with serving(Prometheus(d=result)) as url, pytest.raises(DemandUnknownError):
        read_prometheus(PrometheusDemand(url=url, query="d"), NOW)


def test_a_series_that_stopped_is_unknown():
    with serving(Prometheus(d=[5], a=[301])) as url, pytest.raises(DemandUnknownError, match="301 s old"):
        read_prometheus(PrometheusDemand(url=url, query="d", age_query="a"), NOW)


def test_an_address_that_gives_no_reply_is_not_waited_for_once_for_every_fleet():
    with socket.create_server(("127.0.0.1", 0), backlog=128) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        web = HttpSource(NOW)
        sources = [HttpDemandConfig(url=f"{url}/{i}", timeout_seconds=0.05) for i in range(60)]
        web.prefetch(sources)
        asked = PrometheusDemand(url=url, query="d")
        with pytest.raises(DemandUnknownError, match="not asked"):
            read_prometheus(asked, NOW, web.budget)
        unknown = [_complaint(web, source) for source in sources]
    assert sum("not asked" not in complaint for complaint in unknown) < len(sources) / 2
    with serving(Document({"demand": 5})) as well:
        assert web.read(HttpDemandConfig(url=well)).demand == 5


def _complaint(web: HttpSource, source: HttpDemandConfig) -> str:
    with pytest.raises(DemandUnknownError) as unknown:
        web.read(source)
    return str(unknown.value)


def test_an_address_that_replies_now_and_then_is_asked_on():
    replies = itertools.cycle([(500, b""), (200, b'{"demand": 5}')])
    with serving(lambda *_: next(replies)) as url:
        web = HttpSource(NOW)
        for i in range(30):
            source = HttpDemandConfig(url=f"{url}/{i}")
            web.budget.silent[url.removeprefix("http://")] += 7
            assert web.read(source).demand == 5 if i % 2 else "500" in _complaint(web, source)


def test_when_the_time_of_a_pass_is_over_no_source_is_asked():
    service = Document({"demand": 5})
    with serving(service) as url:
        web = HttpSource(NOW, RetryBudget(until=time.monotonic()))
        assert "took the time of this pass" in _complaint(web, HttpDemandConfig(url=url))
    assert service.hits == 0


def test_fleets_with_different_tokens_do_not_share_a_fetch(tmp_path):
    (tmp_path / "token").write_text("secret")
    service = Document({"demand": 5})
    with serving(service) as url:
        web = HttpSource(NOW)
        mine, theirs = (
            HttpDemandConfig(url=url, token_file=str(tmp_path / "token")),
            HttpDemandConfig(url=url, token_file="/none"),
        )
        web.prefetch([mine, theirs, mine])
        assert web.read(mine).demand == 5
        assert "/none" in _complaint(web, theirs)
    assert service.hits == 1


@pytest.mark.parametrize("content", [b"secret\nsecret", b"", b"secret two", b"\xffsecret", "sécret".encode()])
def test_a_token_file_with_something_else_is_named_and_its_content_is_not(tmp_path, content):
    (tmp_path / "token").write_bytes(content)
    service = Document({"demand": 5})
    with serving(service) as url:
        web = HttpSource(NOW)
        complaint = _complaint(web, HttpDemandConfig(url=url, token_file=str(tmp_path / "token")))
    assert str(tmp_path / "token") in complaint
    assert "secret" not in complaint
    assert service.hits == 0


PODS = [
    Pod("a", {"app": "m", "state": "busy"}, running=True, ready=True),
    Pod("b", {"app": "m"}, running=True, ready=False),
    Pod("c", {"app": "m", "state": "busy"}, running=False, ready=False),
    Pod("d", {"app": "other", "state": "busy"}, running=True, ready=True),
]


@pytest.mark.parametrize(("condition", "used"), [("state=busy", 1), ("ready", 1), ("not-ready", 1), ("state=idle", 0)])
def test_pods_in_use_are_running_pods_of_the_selector_that_fulfil_the_condition(condition, used):
    assert demand_of_pods(PODS, PodsDemand(selector="app=m", in_use=condition), NOW).demand == used


def test_one_call_serves_all_pod_sources():
    one = PodsDemand(selector="app=m", in_use="ready")
    assert common_selector([one, one]) == "app=m"
    assert common_selector([one, PodsDemand(selector="app=n", in_use="ready")]) == ""
