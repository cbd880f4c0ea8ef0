"""What loading a network writes: nothing of LiteRT's own, and all that others write meanwhile."""

import os
import subprocess
import sys
import threading

from autopilot.policy.litert import without_greeting
from testkit.server import ROOT


def test_a_process_that_loads_a_policy_writes_nothing():
    script = "from autopilot.policy.learned import BUILT_IN_MODEL, load_policy; load_policy(BUILT_IN_MODEL)"
    env = os.environ | {"PYTHONPATH": str(ROOT / "container")}
    ran = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
    assert (ran.stdout, ran.stderr) == ("", "")


def test_what_else_is_written_meanwhile_is_kept(capfd):
    with without_greeting():
        os.write(2, b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\na real error\n")
    os.write(2, b"afterwards\n")
    assert capfd.readouterr().err == "a real error\nafterwards\n"


def test_a_failure_leaves_standard_error_as_it_was(capfd):
    try:
        with without_greeting():
            raise ValueError
    except ValueError:
        os.write(2, b"told\n")
    assert capfd.readouterr().err == "told\n"


def test_networks_may_be_loaded_at_the_same_time(capfd):
    def load():
        with without_greeting():
            os.write(2, b"line\n")

    threads = [threading.Thread(target=load) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os.write(2, b"end\n")
    assert capfd.readouterr().err == "line\n" * 8 + "end\n"
