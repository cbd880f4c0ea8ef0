"""`stack`: the files of the stack, from the same values as the command line's plans."""

import json
from pathlib import Path

import yaml

from autopilot_deploy.core.errors import DeployError
from autopilot_deploy.core.stack.learning_machine import learning_machine
from autopilot_deploy.core.stack.machine import state_machine
from autopilot_deploy.core.stack.template import template

_HEADER = """\
# Written by `python -m autopilot_deploy stack`: change autopilot_deploy/core, not this file.
# sam deploy --guided --capabilities CAPABILITY_IAM; then start the state machine with the payload.
"""


class _WithoutAnchors(yaml.SafeDumper):
    """People do not read anchors."""

    def ignore_aliases(self, _data: object) -> bool:
        return True


def files() -> dict[str, str]:
    """The contents of the stack's files, by name."""
    text = yaml.dump(template(), Dumper=_WithoutAnchors, sort_keys=False, width=110)
    machines = {"deploy.asl.json": state_machine(), "learn.asl.json": learning_machine()}
    return {"template.yaml": f"{_HEADER}{text}"} | {
        name: json.dumps(machine, indent=2) + "\n" for name, machine in machines.items()
    }


def write(folder: Path) -> list[Path]:
    """Write them into a folder. Raises DeployError where that cannot be."""
    written = {folder / name: text for name, text in files().items()}
    try:
        for path, text in written.items():
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DeployError(f"the stack's files cannot be written: {error}") from error
    return list(written)


def outdated(folder: Path) -> list[Path]:
    """The files that are not as they would be written."""
    wanted = {folder / name: text for name, text in files().items()}
    return [path for path, text in wanted.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
