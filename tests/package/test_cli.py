"""The command line: what it lists, what it says of what is missing, and what shells complete."""

import shutil
import subprocess

import pytest
from click.testing import CliRunner

from autopilot.cli import COMMANDS, main


def said(*arguments, **environ):
    return CliRunner(env=environ).invoke(main, arguments, prog_name="autopilot")


@pytest.fixture
def bare(monkeypatch):
    """As where nothing is installed that a command may need."""
    monkeypatch.setattr("autopilot.cli.find_spec", lambda name: None)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_that_is_listed_explains_itself(name):
    assert COMMANDS[name].help in " ".join(said("--help").output.split())
    run = said(name, "--help")
    assert run.exit_code == 0
    assert run.output.startswith(f"Usage: autopilot {name}")


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("train", "pip install 'gameserver-autopilot[train]'"),
        ("evaluate", "pip install 'gameserver-autopilot[train]'"),
        ("client", "pip install 'gameserver-autopilot[client]'"),
        ("deploy", "pip install 'gameserver-autopilot[deploy]'"),
        ("explore", "pip install 'gameserver-autopilot[explore]'"),
        ("demo", "pip install gameserver-autopilot"),
    ],
)
def test_what_is_missing_is_named_with_what_brings_it(bare, name, remedy):
    run = said(name, "--some-option", "value")
    assert run.exit_code == 1
    assert run.output.strip() == f"Error: `{name}` needs {', '.join(COMMANDS[name].needs)}: {remedy}"
    assert remedy in " ".join(said("--help").output.split())


@pytest.mark.parametrize("name", [name for name, one in COMMANDS.items() if not one.needs])
def test_serving_and_backtests_need_no_extra(bare, name):
    assert said(name, "--help").exit_code == 0


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("s", ["serve", "scoreboard", "settings"]),
        ("", [*COMMANDS, "completion"]),
        ("backtest --js", ["--json"]),
        ("completion ", ["bash", "zsh", "fish"]),
    ],
)
def test_shells_complete_commands_and_options(typed, offered):
    words = f"autopilot {typed}"
    run = said(_AUTOPILOT_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=str(len(words.split(" ")) - 1))
    assert [line.partition(",")[2] for line in run.output.splitlines()] == offered


def test_what_it_prints_for_bash_is_read_by_bash():
    bash = shutil.which("bash")
    assert bash
    script = said("completion", "bash").output
    listed = subprocess.run(
        [bash, "-c", f"{script}\ncomplete -p autopilot"], capture_output=True, text=True, check=True
    )
    assert "_autopilot_completion" in listed.stdout


def test_an_unknown_command_is_refused():
    run = said("serv")
    assert run.exit_code == 2
    assert "No such command 'serv'" in run.output
