"""`autopilot explore` from the command line."""

import os
import re
import signal
import subprocess
import sys
import urllib.request

import pytest
from click.testing import CliRunner

from autopilot.demo.screen import has_screen
from autopilot.explore.command import explore
from testkit.server import PATIENCE, ROOT
from tests.explore.test_files import PLAIN

SCREENS = {
    "a desk": ({"DISPLAY": ":0"}, "linux", True),
    "a desk under Wayland": ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True),
    "a server": ({}, "linux", False),
    "a Mac": ({}, "darwin", True),
    "a Mac from afar": ({"SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22"}, "darwin", False),
}


@pytest.mark.parametrize(("environ", "platform", "screen"), SCREENS.values(), ids=SCREENS.keys())
def test_nothing_is_opened_where_there_is_no_screen(environ, platform, screen):
    assert has_screen(environ, platform) == screen


def test_it_says_where_the_page_is_serves_it_and_ends_on_control_c(tmp_path):
    environ = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    environ |= {"PYTHONPATH": str(ROOT / "container"), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "autopilot.cli", "explore", "--no-browser"]
    how = {"env": environ, "stdout": subprocess.PIPE, "text": True, "preexec_fn": hears_control_c}
    with subprocess.Popen(command, cwd=tmp_path, **how) as run:
        line = run.stdout.readline()
        url = re.fullmatch(r"The page is at (http://127\.0\.0\.1:\d+/) \(Ctrl-C ends it\)\.\n", line)[1]
        with urllib.request.urlopen(url, timeout=PATIENCE) as page:
            assert b"What would your fleet have cost?" in page.read()
        run.send_signal(signal.SIGINT)
        try:
            assert run.wait(PATIENCE) == 0
        finally:
            run.kill()


def hears_control_c():
    """What runs in the background of a shell is born deaf to it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_a_bad_file_and_a_taken_port_are_refused(tmp_path):
    (tmp_path / "bad.csv").write_text(PLAIN.replace(",50\n", ",x\n"))
    done = CliRunner().invoke(explore, [str(tmp_path / "bad.csv")])
    assert (done.exit_code, "line 2: demand 'x' is not a number" in done.output) == (2, True)
    done = CliRunner().invoke(explore, ["--no-browser", str(tmp_path / "none.csv")])
    assert (done.exit_code, "cannot be read" in done.output) == (2, True)
