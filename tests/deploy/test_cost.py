"""What a month costs, and that the page says the same."""

import re
from pathlib import Path

import pytest

from autopilot.serve import emf
from autopilot_deploy.core import cost
from autopilot_deploy.core.cost import Usage, dollars, metrics_cost, monthly_cost
from tests.deploy.test_deploy_flow import deployed

PAGE = Path(__file__).parents[2] / "deploy" / "README.md"
C5 = cost.INSTANCE_PRICES["ml.c5.large"]


@pytest.mark.parametrize(
    ("seconds", "workers", "writes"),
    [(60, 1, 1), (60, 2, 1.94), (60, 1000, 5), (300, 2, 1), (600, 2, 0.5), (20, 2, 2)],
)
def test_a_slot_is_written_by_each_worker_that_its_decisions_reach(seconds, workers, writes):
    assert cost.writes_a_slot(seconds, workers) == pytest.approx(writes, rel=0.01)


def test_the_store_costs_what_was_reckoned_for_a_hundred_thousand_fleets_a_minute(monkeypatch):
    monkeypatch.setattr(cost, "WORKERS", 1)  # one write a slot
    writes = monthly_cost(Usage(100_000)).store - monthly_cost(Usage(100_000, 1e12)).store
    assert writes == pytest.approx(575, rel=0.05)


@pytest.mark.parametrize(("fleets", "needs"), [(11_000, ""), (11_001, "CACHE_MB=111,"), (100_000, "CACHE_MB=1000,")])
def test_more_fleets_than_memory_has_room_for_need_more_of_it(fleets, needs):
    assert needs in cost.cost_line(Usage(fleets))
    assert ("CACHE_MB" in cost.cost_line(Usage(fleets))) == bool(needs)


@pytest.mark.parametrize(("metrics", "dollars"), [(6, 1.8), (10_000, 3000), (60_000, 8000), (600_000, 44_500)])
def test_metrics_cost_less_the_more_there_are(metrics, dollars):
    assert metrics_cost(metrics) == pytest.approx(dollars)


@pytest.mark.parametrize("fleets", [1, 300, 10_000, 100_000, 1_000_000])
def test_container_and_deployer_reckon_metrics_the_same(fleets):
    assert emf.monthly_price(fleets) == pytest.approx(metrics_cost(cost.CONTAINER_METRICS * fleets))
    assert (emf.MOST_FLEETS, len(emf.METRICS)) == (cost.MOST_FLEETS_BY_NAME, cost.CONTAINER_METRICS)


def test_the_page_has_the_sums_that_the_deployer_says():
    rows = re.findall(r"^\| ([\d,]+) \| (\$.*) \|$", PAGE.read_text(), re.MULTILINE)
    assert len(rows) == 6
    for fleets, said in rows:
        count = int(fleets.replace(",", ""))
        seen, named = (monthly_cost(Usage(count, 60, 1, C5, by_fleet)) for by_fleet in (False, True))
        sums = (seen.store, seen.instances, seen.metrics, seen.total, named.total)
        refused = " (refused)" if count > cost.MOST_FLEETS_BY_NAME else ""
        assert said == " | ".join(map(dollars, sums)) + refused


def test_a_plan_says_what_a_month_costs(cli, account, payload):
    result = deployed(cli, payload, "--dry-run", "--fleets", "300", "--seconds", "60")
    assert result.stdout.splitlines()[-1] == (
        "# note: a month for 300 fleets asked for every 60 s costs about $83 by list price: store $3.25, "
        "1 instance $74, metrics and alarms $5.50"
    )
    assert account.operations() == []


def test_an_unknown_instance_type_is_not_guessed(cli, payload):
    payload["productionVariants"][0]["InstanceType"] = "ml.c7i.large"
    assert "1 instance not known (give --instance-price)" in deployed(cli, payload, "--dry-run").stdout
    assert "1 instance $73," in deployed(cli, payload, "--dry-run", "--instance-price", "0.1").stdout


@pytest.mark.parametrize(("fleets", "code"), [("300", 0), ("301", 2)])
def test_metrics_by_fleet_are_refused_for_more_fleets_than_anyone_pays_for(cli, account, payload, fleets, code):
    named = payload | {"environment": {"AUTOPILOT_METRICS_FLEET_DIMENSION": "true"}}
    result = deployed(cli, named, "--dry-run", "--fleets", fleets)
    assert result.exit_code == code
    if code:
        assert "1,806 CloudWatch metrics, about $542 a month: at most 300 are named" in result.stderr


def test_the_cost_command_asks_nobody(cli, account):
    result = cli("cost", "--fleets", "1000", "--instances", "2")
    assert result.exit_code == 0
    assert "1,000 fleets" in result.stdout
    assert "2 instances $149" in result.stdout
    assert account.made == []


def test_a_serverless_endpoint_pays_for_no_instance(cli, payload):
    serverless = {"VariantName": "AllTraffic", "ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5}}
    result = deployed(
        cli, {"endpointName": "s", "image": payload["image"], "productionVariants": [serverless]}, "--dry-run"
    )
    assert "0 instances $0.00" in result.stdout
