"""The alerts, played by promtool: each fires on its own fault, also where nobody is left to report it; else quiet."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from testkit.client.api_server import ROOT

RULES = yaml.safe_load((ROOT / "deploy" / "chart" / "files" / "alerts.yaml").read_text())["spec"]
FLEET = 'namespace="games",fleet="eu/a"'

FIRES = {
    "AutopilotWithoutFreshAnswers": {f'autopilot_fallback_active{{{FLEET},source="endpoint_unavailable"}}': "1x60"},
    "AutopilotWithoutLeader": {},
    "AutopilotMayNotLead": {'autopilot_lease_refused{namespace="games"}': "1x60"},
    "AutopilotStandsStill": {'autopilot_last_success_timestamp_seconds{namespace="games"}': "60x60"},
    "AutopilotRefused": {f"autopilot_cluster_refused{{{FLEET}}}": "1x60"},
    "AutopilotPlayersWait": {f"autopilot_unmet_server_seconds_total{{{FLEET}}}": "0+120x60"},
    "AutopilotAtItsMaximum": {f'autopilot_decisions_total{{{FLEET},reason="at_maximum"}}': "0+1x60"},
    "AutopilotEndpointNotReady": {'autopilot_ready{namespace="games"}': "0x60"},
    "AutopilotHistoryUnavailable": {
        'autopilot_history_total{namespace="games",status="unavailable"}': "0+20x60",
        'autopilot_history_total{namespace="games",status="ok"}': "0+80x60",
    },
    "AutopilotForecastsDrift": {'autopilot_fleets_drifting{namespace="games"}': "2x60"},
    "AutopilotFleetsNotJudged": {'autopilot_judgements_total{namespace="games",outcome="failed"}': "0x30 1x30"},
    "AutopilotCandidateFails": {'autopilot_candidate_decisions_total{namespace="games",outcome="failed"}': "0+1x60"},
    "AutopilotRetrainingFailed": {
        'kube_job_failed{namespace="games",job_name="ap-learn-29411820",condition="true"}': "1x60"
    },
}
"""What must raise each alert within the hour; one value a minute."""

WELL = {
    f'autopilot_fallback_active{{{FLEET},source="endpoint_unavailable"}}': "0x60",
    'autopilot_leader{namespace="games",pod="one"}': "1x60",
    'autopilot_leader{namespace="games",pod="two"}': "0x60",
    'autopilot_lease_refused{namespace="games"}': "0x60",
    'autopilot_last_success_timestamp_seconds{namespace="games"}': "0+60x60",
    f"autopilot_cluster_refused{{{FLEET}}}": "0x60",
    f"autopilot_unmet_server_seconds_total{{{FLEET}}}": "0+1x60",
    f'autopilot_decisions_total{{{FLEET},reason="policy"}}': "0+1x60",
    'autopilot_ready{namespace="games"}': "1x60",
    'autopilot_history_total{namespace="games",status="unavailable"}': "0+1x60",
    'autopilot_history_total{namespace="games",status="ok"}': "0+80x60",
    'autopilot_fleets_drifting{namespace="games"}': "0x60",
    'autopilot_judgements_total{namespace="games",outcome="judged"}': "0+5x60",
    'autopilot_judgements_total{namespace="games",outcome="failed"}': "0x60",
    'autopilot_candidate_decisions_total{namespace="games",outcome="decided"}': "0+5x60",
    'autopilot_candidate_decisions_total{namespace="games",outcome="failed"}': "0x60",
    'kube_job_failed{namespace="games",job_name="ap-learn-29411820",condition="true"}': "0x60",
    'kube_job_failed{namespace="games",job_name="another-job",condition="true"}': "1x60",
}


def raised(tmp_path: Path, series: dict[str, str]) -> set[str]:
    """The alerts that are up after an hour of these series."""
    if not shutil.which("promtool"):
        pytest.skip("no promtool on this machine (Debian: apt-get install prometheus)")
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": RULES["groups"]}))
    named = [rule["alert"] for group in RULES["groups"] for rule in group["rules"]]
    return {name for name in named if not _quiet(tmp_path, name, series)}


def _quiet(tmp_path: Path, alert: str, series: dict[str, str]) -> bool:
    """Whether promtool agrees that the alert is not up after an hour."""
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [{"eval_time": "60m", "alertname": alert, "exp_alerts": []}],
    }
    path = tmp_path / "test.yaml"
    path.write_text(json.dumps({"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": [test]}))
    done = subprocess.run(["promtool", "test", "rules", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0 or "exp:" in done.stdout + done.stderr, done.stdout + done.stderr
    return done.returncode == 0


def test_every_alert_has_its_fault():
    assert {rule["alert"] for group in RULES["groups"] for rule in group["rules"]} == set(FIRES)


def test_while_all_is_well_no_alert_is_up(tmp_path):
    assert raised(tmp_path, WELL) == set()


@pytest.mark.parametrize("alert", FIRES)
def test_an_alert_is_up_for_its_own_fault(tmp_path, alert):
    spoilt = {name.split("{")[0] for name in FIRES[alert]} or {"autopilot_leader"}
    well = {name: values for name, values in WELL.items() if name.split("{")[0] not in spoilt}
    assert raised(tmp_path, well | FIRES[alert]) == {alert}


def test_two_leaders_are_as_wrong_as_none(tmp_path):
    both = {name: "1x60" for name in WELL if name.startswith("autopilot_leader")}
    assert raised(tmp_path, WELL | both) == {"AutopilotWithoutLeader"}
