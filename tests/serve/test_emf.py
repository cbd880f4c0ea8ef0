import json

from autopilot.core.fleet import Decision, Reason
from autopilot.serve.app import create_app
from autopilot.serve.emf import METRICS, MOST_FLEETS, VALUES_PER_LINE, Counted, EmfMetrics
from autopilot.settings import Settings


def counted(fleet="us/shooter", demand=86.0, reason=Reason.POLICY, low=False, lost=False):
    return Counted(fleet, demand, Decision(97, reason, low, 97, 97), lost)


def written(*decisions, by_fleet=False):
    lines = []
    EmfMetrics("autopilot", by_fleet, lines.append, lambda: 1_700_000_000.5).answered(decisions)
    return [json.loads(line) for line in lines]


def test_one_decision_is_one_line_in_the_embedded_metric_format():
    (line,) = written(counted())
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert line["_aws"]["Timestamp"] == 1_700_000_000_500
    assert directive["Namespace"] == "autopilot"
    assert directive["Dimensions"] == [[]]
    assert {one["Name"] for one in directive["Metrics"]} == set(METRICS) <= set(line)
    assert (line["curr_demand"], line["curr_alloc"]) == (86, 97)


def test_false_positive_is_always_there_as_zero_or_one():
    assert [written(counted(low=low))[0]["false-positive"] for low in (False, True)] == [0, 1]


def test_fallback_hold_and_lost_history_are_told():
    (line,) = written(counted(reason=Reason.FALLBACK), counted(reason=Reason.OUTAGE_HOLD), counted(lost=True))
    assert line["fallback"] == [1, 0, 0]
    assert line["outage-hold"] == [0, 1, 0]
    assert line["history-unavailable"] == [0, 0, 1]


def test_unknown_demand_is_left_out_and_never_zero():
    (line,) = written(counted(demand=None))
    assert "curr_demand" not in line
    assert "curr_demand" not in str(line["_aws"])
    (line,) = written(counted(demand=None), counted(demand=5.0), counted(demand=7.0))
    assert (line["curr_demand"], line["curr_alloc"]) == ([5, 7], [97, 97, 97])


def test_many_decisions_share_lines_that_a_pipe_takes_in_one_piece():
    lines = []
    EmfMetrics("autopilot", False, lines.append).answered([counted(demand=1234567.25)] * 120)
    assert [len(json.loads(line)["curr_demand"]) for line in lines] == [VALUES_PER_LINE, VALUES_PER_LINE, 20]
    assert all(len(line) <= 4096 and line.endswith(b"\n") and line.count(b"\n") == 1 for line in lines)


def test_a_fleet_is_a_dimension_only_where_it_is_asked_for():
    first, second = written(counted("a"), counted("b"), by_fleet=True)
    assert first["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["fleet"]]
    assert (first["fleet"], second["fleet"]) == ("a", "b")


def test_more_fleets_than_anyone_pays_for_are_counted_without_a_name(caplog):
    fleets = [f"fleet-{number}" for number in range(MOST_FLEETS + 70)]
    worker, another = ([], [])
    for lines, order in ((worker, fleets), (another, fleets[::-1])):
        metrics = EmfMetrics("autopilot", True, lines.append)
        metrics.answered(map(counted, order))
        lines.clear()
        metrics.answered(map(counted, order))
    named, same = ({json.loads(line).get("fleet") for line in lines} - {None} for lines in (worker, another))
    assert named == same
    assert len(named) == MOST_FLEETS
    rest = [one for one in map(json.loads, worker) if "fleet" not in one]
    assert sum(len(one["curr_demand"]) for one in rest) == 70
    assert all(one["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [[]] for one in rest)
    told, _ = caplog.messages
    assert "300 fleets are $540, 10,000 would be $8,000, 100,000 $44,500" in told


def asked(capfd, **environ):
    settings = Settings.from_env({"AUTOPILOT_HISTORY": "off", **environ})
    body = {"instances": [{"fleet": "a", "demand": 5}, {"fleet": "b"}, {"fleet": "c", "demand": 7}]}
    assert create_app(settings).test_client().post("/invocations", json=body).status_code == 200
    return [json.loads(line) for line in capfd.readouterr().out.splitlines() if line.startswith("{")]


def test_the_endpoint_writes_a_line_for_each_request(capfd):
    (line,) = asked(capfd, AUTOPILOT_METRICS_EMF="autopilot")
    assert line["curr_demand"] == [5, 7]


def test_it_is_off_by_default_and_in_batch(capfd):
    assert asked(capfd) == []
    assert asked(capfd, AUTOPILOT_METRICS_EMF="autopilot", SAGEMAKER_BATCH="true") == []
