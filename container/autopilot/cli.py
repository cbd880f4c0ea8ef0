"""The command line: `autopilot serve`, `train`, `backtest`, `import`, `demo`, `settings`, `openapi`."""

import importlib
import os
import sys

import click

from autopilot import __version__

_COMMANDS = {
    "serve": ("autopilot.serve.supervisor", "Start the endpoint in the foreground."),
    "train": ("autopilot.training.command", "Train a policy, as SageMaker's `train` does."),
    "evaluate": ("autopilot.webservice.evaluate", "Play a policy for the web service beside simple rules."),
    "backtest": ("autopilot.backtest.command", "Score the policy on your own demand history, beside simple rules."),
    "import": (
        "autopilot.demand.import_command",
        "Make a demand file of what Grafana, Prometheus or CloudWatch export.",
    ),
    "demo": ("autopilot.demo.command", "Replay a recorded day through a real server and chart what it decided."),
    "settings": ("autopilot.serve.openapi", "List every environment variable with its default and meaning."),
    "openapi": ("autopilot.serve.openapi", "Print the OpenAPI document of the endpoint."),
}

_KEYWORDS = {"import": "import_demand"}
"""Functions that cannot be called like their command."""


class _Lazy(click.Group):
    """Imports a command's module only when it is asked for: `serve` must not pay for what `train` needs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        name = _KEYWORDS.get(cmd_name, cmd_name)
        command: click.Command = getattr(importlib.import_module(_COMMANDS[cmd_name][0]), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="autopilot")
def main() -> None:
    """Safe allocations for game-server fleets.

    First minute: `autopilot demo`. Your own data: `autopilot backtest demand.csv`.
    """


if __name__ == "__main__":
    sys.argv[0] = os.path.basename(sys.argv[0])
    main()
