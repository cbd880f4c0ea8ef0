"""The command line: every option is also an environment variable."""

import logging
import os
import signal
import socket
import sys
import threading
from pathlib import Path

import click
import msgspec

from autopilot_client import __version__
from autopilot_client.commands.operator_cli import pause, resume, set_size, show_status
from autopilot_client.commands.wiring import Client, ClientContext, build
from autopilot_client.config.document import Config
from autopilot_client.config.parse import keyed, parse
from autopilot_client.ports import ConfigError, KubeError
from autopilot_client.status.store import View

NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


@click.group(
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
@click.option(
    "--config",
    "path",
    envvar="AUTOPILOT_CONFIG",
    default="/etc/autopilot/config.yaml",
    show_default=True,
    type=click.Path(path_type=Path),
    help="The YAML file with endpoint and fleets.",
)
@click.option("--once", is_flag=True, help="One pass, printed; no port, no election.")
@click.option("--interval", envvar="AUTOPILOT_INTERVAL", type=float, help="Seconds between passes; overrides the file.")
@click.option("--dry-run", envvar="AUTOPILOT_DRY_RUN", is_flag=True, help="Decide and show, change nothing.")
@click.option("--check", is_flag=True, help="Only check the configuration.")
@click.option("--kubeconfig", envvar="KUBECONFIG", help="A kubeconfig file; without it, the pod's own account.")
@click.option("--namespace", envvar="POD_NAMESPACE", help="The namespace, if the file does not name it.")
@click.option("--identity", envvar="POD_NAME", help="This replica's name in the election; default: the host's name.")
@click.option(
    "--election/--no-election", default=True, envvar="AUTOPILOT_ELECTION", help="Elect a leader by the Lease."
)
@click.option(
    "--log-level",
    envvar="AUTOPILOT_LOG_LEVEL",
    default="INFO",
    show_default=True,
    type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"], case_sensitive=False),
    help="How much to log.",
)
@click.version_option(__version__)
@click.pass_context
def main(context: click.Context, /, **options: object) -> None:
    """Keep game-server fleets at the size that the autopilot's endpoint says, and never make an outage worse.

    Without a command it runs until it is told to end. The commands are for people: they write annotations on a
    Deployment or Fleet, which the running client obeys within a pass.
    """
    if context.invoked_subcommand:
        return
    logging.basicConfig(level=str(options["log_level"]).upper(), format="%(asctime)s %(levelname)s %(message)s")
    for name in ("botocore", "urllib3"):  # at DEBUG they write down whole requests, tokens and signatures too
        logging.getLogger(name).setLevel(max(logging.INFO, logging.getLogger().level))
    try:
        config = _load(Path(str(options["path"])), options["interval"])
        if options["check"]:
            if namespace := config.namespace or str(options["namespace"] or ""):
                keyed(config, namespace)
            click.echo(f"{options['path']}: right; {len(config.fleets)} fleets")
            return
        client = build(config, _run_context(config, options))
        status = _once(client) if options["once"] else _serve(client)
    except (ConfigError, KubeError) as error:
        raise click.ClickException(str(error)) from error
    sys.exit(status)


for command in (pause, set_size, resume, show_status):
    main.add_command(command)


def _load(path: Path, interval: object) -> Config:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; write it, or give --config") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8") from error
    config = parse(text, str(path))
    if isinstance(interval, float):
        if not 1 <= interval <= 3600:
            raise ConfigError("--interval: write seconds between passes, 1 to 3600")
        config = msgspec.structs.replace(config, interval_seconds=interval)
    return config


def _run_context(config: Config, options: dict[str, object]) -> ClientContext:
    elects = bool(options["election"]) and not options["once"]
    return ClientContext(
        kubeconfig=str(options["kubeconfig"]) if options["kubeconfig"] else None,
        namespace=config.namespace or str(options["namespace"] or "") or _own_namespace(),
        identity=str(options["identity"] or socket.gethostname()) if elects else None,
        dry_run=bool(options["dry_run"]),
        environ=os.environ,
    )


def _own_namespace() -> str:
    try:
        return NAMESPACE_FILE.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigError("namespace: unknown; write namespace: NAME into the file, or give --namespace") from error


def _once(client: Client) -> int:
    """One pass as a table; the status is 1 when some fleet had no fresh answer."""
    views = client.loop.run_pass()
    for view in views:
        click.echo(_line(view))
    return int(any(view.decision.fault for view in views))


def _line(view: View) -> str:
    demand = view.seen.reading.demand if view.seen.reading else "unknown"
    decided = view.decision.allocation if view.decision.allocation is not None else "nothing"
    size = view.size if view.size is not None else "unknown"
    return (
        f"{view.fleet.name}: demand {demand}, size {size}, decided {decided} ({view.decision.reason}), {view.outcome}"
    )


def _serve(client: Client) -> int:
    """Run until SIGTERM or SIGINT; the status is then 0."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    client.run(stop)
    return 0
