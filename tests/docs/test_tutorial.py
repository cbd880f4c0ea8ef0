"""The tutorial is followed word for word, as far as it needs no cluster, in one shell."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from testkit.ports import free_port

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "tutorial.md"
MARK = "=== command"
USED = ("container/autopilot/demo/sample_day.csv", "local-test/desk/world.py", "local-test/desk/client.yaml",
        "local-test/desk/kubeconfig.yaml")  # fmt: skip
PORTS = ("8000", "8080", "8500", "8501", "9000")


def blocks() -> list[str]:
    """What stands in the page's console blocks that are to be run."""
    page = PAGE.read_text()
    found = re.findall(r"(<!-- not run: [^>]+ -->\n)?```console\n(.*?)```", page, re.DOTALL)
    return [block for skipped, block in found if not skipped]


def commands() -> list[tuple[str, list[str]]]:
    """Each command of the page, and the lines that it is said to print."""
    told: list[tuple[str, list[str]]] = []
    for line in "".join(blocks()).splitlines():
        if line.startswith("$ "):
            told.append((line[2:], []))
        else:
            told[-1][1].append(line)
    return told


def script(told: list[tuple[str, list[str]]]) -> str:
    """All commands for one shell: each after a mark, and what goes on in the background into a file of its own."""
    lines = ["set -euo pipefail", "trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT"]
    for number, (command, _) in enumerate(told):
        lines.append(f"echo; echo '{MARK} {number}'")
        lines.append(f"{command[:-2]} > out/{number}.log 2>&1 &" if command.endswith(" &") else command)
    return "\n".join(lines)


def plain(line: str) -> str:
    """A line without its figures, which differ from run to run."""
    return re.sub(r"\d+(?:[.,:]\d+)*", "#", line).strip()


@pytest.fixture
def followed(tmp_path):
    """What each command printed, in a copy of what the tutorial uses of the checkout, on free ports."""
    ports = {port: str(free_port()) for port in PORTS}
    for name in USED:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(on_ports((ROOT / name).read_text(), ports if name.endswith(".yaml") else {}))
    (tmp_path / "out").mkdir()
    told = commands()
    paths = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
             "PYTHONPATH": f"{ROOT / 'container'}:{ROOT / 'client'}"}  # fmt: skip
    done = subprocess.run(
        ["bash", "-c", on_ports(script(told), ports)], cwd=tmp_path, env=os.environ | paths | {"PYTHONUNBUFFERED": "1"},
        capture_output=True, text=True, timeout=540, check=False,
    )  # fmt: skip
    logs = {path.stem: path.read_text() for path in (tmp_path / "out").glob("*.log")}
    parts = re.split(rf"^{MARK} (\d+)\n", done.stdout, flags=re.MULTILINE)[1:]
    printed = {int(number): text for number, text in zip(parts[::2], parts[1::2], strict=True)}
    assert done.returncode == 0, f"{told[max(printed)][0]}\n{done.stderr[-2000:]}\n{logs}"
    return [(command, lines, logs.get(str(number), printed[number])) for number, (command, lines) in enumerate(told)]


def on_ports(text: str, ports: dict[str, str]) -> str:
    """A text with other ports in the place of its own."""
    return re.sub("|".join(ports) or "(?!)", lambda found: ports[found[0]], text)


def test_every_step_works_and_prints_what_the_page_says(followed):
    assert len(followed) > 15
    for command, lines, printed in followed:
        given = [plain(line) for line in printed.splitlines()]
        for line in lines:
            wanted = plain(line.removesuffix("…"))
            assert any(one.startswith(wanted) for one in given), f"{command}\nprinted\n{printed}\nand not\n{line}"
