"""The command line: `autopilot serve`, `demo`, `backtest`, `import`, `train`, and those of client and deployer."""

import importlib
import os
import sys
from dataclasses import dataclass
from importlib.util import find_spec

import click
from click.shell_completion import CompletionItem, get_completion_class

from autopilot import __version__

DISTRIBUTION = "gameserver-autopilot"


@dataclass(frozen=True, slots=True)
class LazyCommand:
    """A command that is imported when it is asked for.

    where  module:name of the click command
    help   one line
    needs  modules that not every installation has
    extra  the extra of the package that brings them; empty: the package itself, without an extra
    """

    where: str
    help: str
    needs: tuple[str, ...] = ()
    extra: str = ""

    @property
    def missing(self) -> list[str]:
        """What it needs, and is not installed here."""
        return [name for name in self.needs if find_spec(name) is None]

    @property
    def remedy(self) -> str:
        """How to install what is missing."""
        return f"pip install '{DISTRIBUTION}[{self.extra}]'" if self.extra else f"pip install {DISTRIBUTION}"

    def load(self) -> click.Command:
        """The command itself."""
        module, _, name = self.where.partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command


COMMANDS = {
    "serve": LazyCommand("autopilot.serve.supervisor:serve", "Start the endpoint in the foreground."),
    "demo": LazyCommand(
        "autopilot.demo.command:demo",
        "Replay a sample day through a real server and chart what it decided.",
        ("rich", "matplotlib"),
    ),
    "backtest": LazyCommand(
        "autopilot.backtest.command:backtest", "Score the policy on your own demand history, beside simple rules."
    ),
    "explore": LazyCommand(
        "autopilot.explore.command:explore",
        "Play with your own fleet on a page in the browser.",
        ("plotly", "aiohttp", "matplotlib"),
        "explore",
    ),
    "scoreboard": LazyCommand(
        "autopilot.learning.commands.scoreboard:scoreboard",
        "What your fleets cost while they were served, beside simple rules.",
    ),
    "promote": LazyCommand(
        "autopilot.learning.commands.models:promote_model", "Let a trained model serve, and keep the one before it."
    ),
    "rollback": LazyCommand(
        "autopilot.learning.commands.models:rollback", "Let the model serve again that served before."
    ),
    "models": LazyCommand(
        "autopilot.learning.commands.models:models", "List the models that are kept, and which of them serves."
    ),
    "learn": LazyCommand(
        "autopilot.learning.commands.learn:learn",
        "One pass of retraining by the clock: watch, consider the candidate, train, tell.",
    ),
    "trial": LazyCommand(
        "autopilot.learning.commands.trial:trial",
        "Say whether a candidate is to be promoted, without doing it: for machines that serve models elsewhere.",
    ),
    "history": LazyCommand(
        "autopilot.learning.commands.history:history", "Export what a store remembers of your fleets, to train on it."
    ),
    "import": LazyCommand(
        "autopilot.demand.import_command:import_demand",
        "Make a demand file of what Grafana, Prometheus or CloudWatch export.",
    ),
    "settings": LazyCommand(
        "autopilot.serve.openapi:settings", "List every environment variable with its default and meaning."
    ),
    "openapi": LazyCommand("autopilot.serve.openapi:openapi", "Print the OpenAPI document of the endpoint."),
    "train": LazyCommand(
        "autopilot.training.command:train",
        "Train a policy, as SageMaker's `train` does.",
        ("tensorflow", "gymnasium", "rich", "matplotlib"),
        "train",
    ),
    "evaluate": LazyCommand(
        "autopilot.training.service.evaluate:evaluate",
        "Play a policy for the web service beside simple rules.",
        ("tensorflow", "gymnasium", "rich", "matplotlib"),
        "train",
    ),
    "client": LazyCommand(
        "autopilot_client.commands.cli:main",
        "Keep a cluster's fleets at the size that the endpoint says.",
        ("autopilot_client", "kubernetes", "cheroot", "cronsim", "tenacity", "yaml"),
        "client",
    ),
    "deploy": LazyCommand(
        "autopilot_deploy.cli:main",
        "From an image to an auto-scaling SageMaker endpoint, and back.",
        ("autopilot_deploy", "boto3"),
        "deploy",
    ),
}


class _Group(click.Group):
    """Imports a command's module only when it is asked for: `serve` must not pay for what `train` needs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        wanted = COMMANDS[cmd_name]
        return _not_installed(cmd_name, wanted) if wanted.missing else wanted.load()

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        own = [(name, command.get_short_help_str()) for name, command in self.commands.items()]
        with formatter.section("Commands"):
            formatter.write_dl([*((name, _line(one)) for name, one in COMMANDS.items()), *own])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        lazy = [CompletionItem(name, help=one.help) for name, one in COMMANDS.items() if name.startswith(incomplete)]
        own = [CompletionItem(name) for name in self.commands if name.startswith(incomplete)]
        return lazy + own + click.Command.shell_complete(self, ctx, incomplete)


def _line(one: LazyCommand) -> str:
    return f"{one.help} Not installed here: {one.remedy}" if one.missing else one.help


def _not_installed(name: str, wanted: LazyCommand) -> click.Command:
    """In place of a command that cannot run here: says what is missing, and what brings it."""

    def refuse() -> None:
        raise click.ClickException(f"`{name}` needs {', '.join(wanted.missing)}: {wanted.remedy}")

    anything = {"ignore_unknown_options": True, "allow_extra_args": True}
    return click.Command(name, context_settings=anything, callback=refuse, add_help_option=False)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="autopilot")
def main() -> None:
    """Safe allocations for game-server fleets.

    First minute: `autopilot demo`. Your own data: `autopilot backtest demand.csv`.
    """


@main.command(short_help="Print what makes your shell complete commands and options.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what makes your shell complete commands and options: `eval "$(autopilot completion bash)"`."""
    kind = get_completion_class(shell)
    if kind is not None:
        click.echo(kind(main, {}, "autopilot", "_AUTOPILOT_COMPLETE").source())


if __name__ == "__main__":
    sys.argv[0] = os.path.basename(sys.argv[0])
    main()
