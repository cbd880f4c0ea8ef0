"""The commands for three in the morning, on a small API server: what they write, show and refuse."""

import re
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner

from autopilot_client.commands.cli import main
from testkit.client.standins import Cluster, kubeconfig, serving

PREFIX = "gameserver-autopilot/"


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """A cluster with one Deployment, and the environment of a person at a terminal."""
    found = Cluster()
    found.add("deployments", "minecraft", 40)
    with serving(found) as address:
        (tmp_path / "config").write_text(kubeconfig(address))
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
        monkeypatch.setenv("POD_NAMESPACE", "games")
        yield found


def say(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, words)
    return done.exit_code, done.output


def annotations(cluster: Cluster) -> dict[str, str]:
    return cluster.objects["deployments/minecraft"]["metadata"].get("annotations", {})


def test_pause_for_two_hours_writes_the_annotation_and_its_end(cluster):
    before = datetime.now(UTC).timestamp()
    status, text = say("pause", "deployment/minecraft", "--for", "2h")
    assert status == 0
    assert annotations(cluster)[f"{PREFIX}paused"] == "true"
    end = datetime.fromisoformat(annotations(cluster)[f"{PREFIX}paused-until"]).timestamp()
    assert before + 7199 <= end
    assert re.fullmatch(r"deployment/minecraft: 40 servers\n  paused until \S+Z\n", text)


def test_set_and_resume_leave_other_peoples_annotations_alone(cluster):
    cluster.objects["deployments/minecraft"]["metadata"]["annotations"] = {"team": "eu", f"{PREFIX}unknown": "x"}
    say("set", "deployment/minecraft", "--size", "90", "--minimum", "10")
    _, shown = say("status", "deployment/minecraft")
    assert "  size 90\n  minimum 10\n" in shown
    assert f"mistake: {PREFIX}unknown: unknown" in shown
    status, text = say("resume", "deployment/minecraft")
    assert (status, text.startswith("deployment/minecraft: no override")) == (0, True)
    assert f"left as it is: {PREFIX}unknown is no name of ours" in text
    assert datetime.fromisoformat(annotations(cluster).pop(f"{PREFIX}resumed")).tzinfo
    assert annotations(cluster) == {"team": "eu", f"{PREFIX}unknown": "x"}


def test_the_namespace_stands_before_the_fleet_or_beside_it(cluster):
    cluster.add("eu-games/deployments", "minecraft", 40)
    assert say("pause", "eu-games/deployment/minecraft")[1].startswith("eu-games/deployment/minecraft: 40 servers")
    say("status", "deployment/minecraft", "-n", "eu-games")
    say("resume", "eu-games/deployment/minecraft", "-n", "eu-games")
    asked = {call.split("/namespaces/")[1].split("/")[0] for call in cluster.calls}
    assert asked == {"eu-games"}


def test_two_namespaces_for_one_fleet_or_none_are_refused(cluster, monkeypatch):
    status, text = say("pause", "eu-games/deployment/minecraft", "-n", "us-games")
    assert (status, "--namespace says us-games" in " ".join(text.replace("│", " ").split())) == (2, True)
    monkeypatch.delenv("POD_NAMESPACE")
    assert "say where the fleet is" in say("pause", "deployment/minecraft")[1]
    assert cluster.calls == []


@pytest.mark.parametrize("fleet", ["../deployment/minecraft", "Eu/deployment/minecraft", "a/b/deployment/minecraft"])
def test_what_is_no_place_is_refused(cluster, fleet):
    assert say("pause", fleet)[0] == 2
    assert cluster.calls == []


REFUSED = {
    "no such kind": (["pause", "minecraft"], "write deployment/NAME, fleet/NAME"),
    "a duration in words": (["pause", "deployment/minecraft", "--for", "long"], "write it like 2h"),
    "a duration of nothing": (["pause", "deployment/minecraft", "--for", "0h"], "write it like 2h"),
    "a negative size": (["set", "deployment/minecraft", "--size", "-1"], "-1 is not in the range"),
    "limits the wrong way round": (
        ["set", "deployment/minecraft", "--minimum", "50", "--maximum", "40"],
        "--minimum 50 is above --maximum 40",
    ),
    "nothing to set": (["set", "deployment/minecraft"], "say what to set"),
    "a fleet that is not there": (["status", "deployment/other"], "not found"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_mistake_is_refused_in_words(cluster, case):
    words, message = REFUSED[case]
    status, text = say(*words)
    assert status != 0
    assert message in text
    assert annotations(cluster) == {}


@pytest.mark.parametrize(
    ("before", "asked", "remedy"),
    [
        pytest.param(["--maximum", "40"], ["--minimum", "50"], "say --maximum 50 or more as well", id="a minimum"),
        pytest.param(["--minimum", "50"], ["--maximum", "40"], "say --minimum 40 or less as well", id="a maximum"),
        pytest.param(["--minimum", "50"], ["--size", "90"], "", id="a size stands above both"),
        pytest.param(["--maximum", "40"], ["--minimum", "50", "--maximum", "60"], "", id="both are given"),
    ],
)
def test_a_limit_that_would_not_fit_the_other_is_refused_with_the_remedy(cluster, before, asked, remedy):
    say("set", "deployment/minecraft", *before)
    written = annotations(cluster)
    status, text = say("set", "deployment/minecraft", *asked)
    assert (status != 0) == bool(remedy)
    assert " ".join(remedy.split()) in " ".join(text.replace("│", " ").split())
    assert (annotations(cluster) == written) == bool(remedy)


def test_a_limit_that_has_ended_is_in_nobodys_way(cluster):
    ended = {f"{PREFIX}maximum": "40", f"{PREFIX}maximum-until": "2020-01-01T00:00:00Z"}
    cluster.objects["deployments/minecraft"]["metadata"]["annotations"] = ended
    assert say("set", "deployment/minecraft", "--minimum", "50")[0] == 0


def test_a_digit_too_many_is_asked_about(cluster):
    status, text = say("set", "deployment/minecraft", "--size", "900")
    assert (status, annotations(cluster)) == (2, {})
    assert "--size 900 for a fleet of 40 servers: if so, say --yes" in " ".join(text.replace("│", " ").split())
    assert say("set", "deployment/minecraft", "--size", "900", "--yes")[0] == 0
    assert annotations(cluster)[f"{PREFIX}size"] == "900"


def test_a_size_on_a_paused_fleet_is_said_to_wait(cluster):
    say("pause", "deployment/minecraft")
    _, text = say("set", "deployment/minecraft", "--size", "90")
    assert "while it is paused, size 90 has no effect" in text


def test_what_has_ended_is_shown_with_its_end(cluster):
    ended = {f"{PREFIX}size": "90", f"{PREFIX}size-until": "2025-12-24T06:00:00Z"}
    cluster.objects["deployments/minecraft"]["metadata"]["annotations"] = ended
    _, text = say("status", "deployment/minecraft")
    assert text.endswith("  no override\n  ended: size 90, at 2025-12-24T06:00:00Z\n")


def test_who_may_not_write_is_told_whose_account_may(cluster):
    cluster.refuse = {"PATCH": 403}
    status, text = say("pause", "deployment/minecraft")
    assert status == 1
    assert "use yours, with --kubeconfig" in text
