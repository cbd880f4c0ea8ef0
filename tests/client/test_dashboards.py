"""Grafana's dashboards ask for metrics that are really exported, in queries that Prometheus takes."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from autopilot.learning.board import Board, BoardEntry, PlayerSums
from autopilot.serve.metrics import Metrics
from autopilot.serve.scoreboard import Scoreboard, ScoreboardCollector
from autopilot_client.kube.lease import Alone
from autopilot_client.rules.lead import Lead
from autopilot_client.status.metrics import StatusCollector, exposition
from testkit.client.api_server import ROOT
from tests.client.status.test_web import T0, a_store, show

DASHBOARDS = sorted((ROOT / "deploy" / "grafana").glob("*.json"))


@cache
def exported() -> frozenset[str]:
    """Every sample name of the endpoint's and the client's /metrics, with something counted of each."""
    endpoint = Metrics()
    endpoint.responded("/invocations", 200)
    endpoint.refused("value")
    endpoint.shadow_servers(1, 1)
    board = Board()
    board.keep(BoardEntry("eu/x", 20_001 * 86400.0, "", False, b"{}", [PlayerSums(7.0, "as set", 1.0, 1.0, 1.0, 1.0)]))
    endpoint.add(ScoreboardCollector(Scoreboard(board, "default@1f3c0a9b", server_hour=0.1)))
    store = a_store()
    show(store)
    show(store, at=T0 + 900)  # one lead later: the error of the first decision is known
    store.count("guards", "eu/x", "below_use")
    store.notifications["ops", "sent"] += 1
    store.views = {name: replace(view, lead=Lead(10, 15)) for name, view in store.views.items()}
    texts = [endpoint.render().decode(), exposition(StatusCollector(store, Alone(), {"GET": 3})).decode()]
    families = [family for text in texts for family in text_string_to_metric_families(text)]
    counters = {f"{family.name}_total" for family in families if family.type == "counter"}
    return frozenset(counters | {sample.name for family in families for sample in family.samples})


def queries(path: Path) -> list[str]:
    """Every query of a dashboard, those of its variables included, with values in place of the variables."""
    board = json.loads(path.read_text())
    texts = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    labels = [v["query"]["query"] for v in board["templating"]["list"] if v["type"] == "query"]
    texts += [re.sub(r"^label_values\((.*), \w+\)$", r"\1", text) for text in labels]
    return [text.replace("$namespace", "games").replace("$fleet", ".+") for text in texts]


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_every_query_asks_for_a_metric_that_is_exported(path):
    for query in queries(path):
        asked = set(re.findall(r"\bautopilot_\w+", query))
        assert asked, query
        assert asked <= exported(), query


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_prometheus_takes_every_query(path, tmp_path):
    if not shutil.which("promtool"):
        pytest.skip("no promtool on this machine (Debian: apt-get install prometheus)")
    rules = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(queries(path))]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    done = subprocess.run(
        ["promtool", "check", "rules", str(tmp_path / "rules.yaml")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_panels_explain_themselves_and_do_not_overlap(path):
    panels = json.loads(path.read_text())["panels"]
    taken = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(taken) == len(set(taken))
    assert all(panel["description"] for panel in panels)
