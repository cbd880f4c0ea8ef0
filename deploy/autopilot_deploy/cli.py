"""The command line."""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TextIO

import click

from autopilot_deploy.calls.boto import NoAccount, SystemClock
from autopilot_deploy.calls.boto import connect as connect_aws
from autopilot_deploy.calls.ports import Aws, Clock, Console
from autopilot_deploy.core.cost import CLIENT_METRICS, INSTANCE_PRICES, Usage, cost_line, dollars, metrics_cost
from autopilot_deploy.core.errors import DeployError, PayloadError
from autopilot_deploy.core.monitoring import CLIENT_NAMESPACE, MetricSources
from autopilot_deploy.core.payload import DEFAULT_METRICS, wanted_from
from autopilot_deploy.core.plan import ChangePlan
from autopilot_deploy.core.services.logs import KEPT_DAYS
from autopilot_deploy.flows import dashboard as dashboard_flow
from autopilot_deploy.flows import learning as learning_flow
from autopilot_deploy.flows import stack as stack_flow
from autopilot_deploy.flows import status as status_flow
from autopilot_deploy.flows.apply import DeployContext, rehearse
from autopilot_deploy.flows.deploy import Deployment
from autopilot_deploy.flows.deploy import deploy as run_deploy
from autopilot_deploy.flows.destroy import destroy as run_destroy
from autopilot_deploy.flows.gather import names_for
from autopilot_deploy.flows.invoke import InvokeRequest
from autopilot_deploy.flows.invoke import invoke as run_invoke
from autopilot_deploy.flows.transform import FORMATS, BatchRequest
from autopilot_deploy.flows.transform import transform as run_transform

P = ParamSpec("P")


class _StdoutConsole:
    """Progress on standard output."""

    def say(self, text: str) -> None:
        click.echo(text)


class _StderrConsole:
    """Progress on standard error, where standard output is the answer."""

    def say(self, text: str) -> None:
        click.echo(text, err=True)


@dataclass(frozen=True, slots=True)
class AwsSession:
    """What the commands act with; tests put their own in its place."""

    aws: Aws
    clock: Clock


def _with_exit_codes(command: Callable[P, None]) -> Callable[P, None]:
    """Errors become one message and their exit code."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except DeployError as error:
            click.echo(f"error: {error}", err=True)
            sys.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("interrupted: AWS goes on by itself; run the same command again to continue", err=True)
            sys.exit(130)

    return run


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--region",
    envvar=["AWS_REGION", "AWS_DEFAULT_REGION"],
    show_envvar=True,
    help="AWS region. Default: what your AWS configuration says.",
)
@click.option("--timeout", default=40.0, show_default=True, help="Minutes to wait for AWS, in all.")
@click.pass_context
def main(context: click.Context, region: str | None, timeout: float) -> None:
    """From an image to an auto-scaling SageMaker endpoint, and back to an empty account.

    Exit codes: 0 done; 1 AWS refused or the deployment failed; 2 the input is wrong; 3 not yet: the time is over and
    AWS is still at work, or an outage puts a promotion off; 4 a permission is missing.
    """
    context.ensure_object(dict)
    context.obj.setdefault("connect", lambda *how: AwsSession(connect_aws(*how), SystemClock()))
    context.obj.update(region=region, timeout=timeout)


def _context(endpoint: str, console: Console, rehearsal: bool = False) -> DeployContext:
    given: dict[str, Any] = click.get_current_context().obj
    session: AwsSession = given["connect"](given["region"], rehearsal)
    if isinstance(session.aws, NoAccount):
        console.say(NO_CREDENTIALS)
    deadline = session.clock.now() + given["timeout"] * 60
    return DeployContext(session.aws, session.clock, console, names_for(session.aws, endpoint), deadline)


NO_CREDENTIALS = (
    "# note: there are no AWS credentials: this is the plan for an empty account. "
    f"{NoAccount.ACCOUNT} stands for its number"
)
_dry_run = click.option("--dry-run", is_flag=True, help="Print the calls as AWS commands; change nothing.")
_endpoint = click.argument("endpoint")
_fleets = click.option("--fleets", type=click.IntRange(1), default=10, show_default=True, help="Fleets, for the cost.")
_seconds = click.option(
    "--seconds",
    type=click.FloatRange(0, min_open=True),
    default=60.0,
    show_default=True,
    help="Seconds between two questions for a fleet, for the cost.",
)
_instance_price = click.option(
    "--instance-price", type=click.FloatRange(0), help="Dollars for an hour of an instance, for the cost."
)


@main.command()
@click.argument("payload", type=click.File())
@click.option("--image", help="Image to make models from: ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME@DIGEST.")
@click.option("--model-data", help="s3:// URI of a model.tar.gz. Without it, the policy in the image serves.")
@click.option("--role", help="ARN of an execution role. Without it, one is made with the least rights.")
@click.option(
    "--log-days",
    default=30,
    show_default=True,
    type=click.Choice(KEPT_DAYS),
    metavar="DAYS",
    help="Days to keep the container's log: 1, 3, 5, 7, 14, 30, 60, 90 and on to 3653, as CloudWatch has them.",
)
@_fleets
@_seconds
@_instance_price
@_dry_run
@_with_exit_codes
def deploy(payload: Any, image: str | None, model_data: str | None, role: str | None, **rest: Any) -> None:  # noqa: ANN401
    """Create or update the endpoint of PAYLOAD (a JSON file, - for standard input)."""
    given = {"image": image, "modelDataUrl": model_data, "roleArn": role}
    read = read_payload(payload)
    more = {name: one for name, one in given.items() if one}
    wanted = wanted_from(read | more if isinstance(read, dict) else read)
    context = _context(wanted.endpoint, _StdoutConsole(), rest["dry_run"])
    usage = Usage(rest["fleets"], rest["seconds"], instance_price=rest["instance_price"])
    run_deploy(Deployment(wanted, rest["log_days"], rest["dry_run"], usage), context)


@main.command()
@_fleets
@_seconds
@_instance_price
@click.option("--instances", type=click.IntRange(0), default=1, show_default=True, help="Instances that run all month.")
@click.option("--instance-type", default="ml.c5.large", show_default=True, help="Of the instances.")
@_with_exit_codes
def cost(instance_type: str, instance_price: float | None, **rest: Any) -> None:  # noqa: ANN401
    """What a month costs: store, instances, metrics. Asks nobody."""
    price = INSTANCE_PRICES.get(instance_type) if instance_price is None else instance_price
    click.echo(cost_line(Usage(**rest, instance_price=price)))
    by_fleet = metrics_cost(CLIENT_METRICS * rest["fleets"])
    click.echo(f"not in it: the client's own metrics, where its cloudwatch is on: {dollars(by_fleet)}; logs; transfer")


def read_payload(payload: TextIO) -> object:
    """A payload as JSON. Raises PayloadError."""
    try:
        return json.loads(payload.read(), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise PayloadError(f"the payload is not JSON: {error}") from error


def _no_number(name: str) -> None:
    """Python reads these, AWS does not."""
    raise ValueError(f"{name} is not a number of JSON")


@main.command()
@_endpoint
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@_with_exit_codes
def status(endpoint: str, as_json: bool) -> None:
    """What is there of ENDPOINT. Exit code 1 where it is not in service."""
    seen = status_flow.status(_context(endpoint, _StderrConsole()))
    click.echo(json.dumps(seen, indent=2) if as_json else "\n".join(status_flow.lines(seen)))
    if not seen["healthy"]:
        sys.exit(1)


@main.command()
@_endpoint
@click.option("--fleet", help="Fleet to ask for, with --demand.")
@click.option("--demand", type=float, help="Servers that players need now.")
@click.option("--body", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Send this file.")
@click.option("--content-type", default="application/json", show_default=True, help="Format of the body.")
@click.option("--accept", default="application/json", show_default=True, help="Format of the answer.")
@click.option("--variant", help="Ask this variant.")
@_with_exit_codes
def invoke(endpoint: str, fleet: str | None, demand: float | None, body: Path | None, **rest: Any) -> None:  # noqa: ANN401
    """Ask ENDPOINT, and print its answer."""
    if (body is None) == (fleet is None):
        raise click.UsageError("give --fleet (with --demand), or --body")
    asked = {"fleet": fleet} | ({} if demand is None else {"demand": demand})
    content = body.read_bytes() if body else json.dumps(asked).encode()
    question = InvokeRequest(content, rest["content_type"], rest["accept"], rest["variant"])
    click.echo(run_invoke(question, _context(endpoint, _StderrConsole())))


@main.command()
@_endpoint
@click.argument("source")
@click.argument("target")
@click.option("--format", "kind", type=click.Choice(list(FORMATS)), default="csv", show_default=True, help="Of SOURCE.")
@click.option("--job", help="Name of the job. Default: the endpoint's name and the time.")
@click.option("--model", help="Model to use. Default: the one that the endpoint serves.")
@click.option("--instance-type", default="ml.m5.large", show_default=True, help="Machine that the job runs on.")
@click.option("--instances", default=1, show_default=True, help="How many of them.")
@_dry_run
@_with_exit_codes
def transform(endpoint: str, source: str, target: str, job: str | None, **rest: Any) -> None:  # noqa: ANN401
    """Decide for every line of SOURCE (s3://, CSV without header or JSON lines), into TARGET (s3://)."""
    if not (source.startswith("s3://") and target.startswith("s3://")):
        raise click.UsageError("SOURCE and TARGET are s3:// URIs")
    named = job or f"{endpoint[:46]}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}"
    run_transform(
        BatchRequest(source, target, job=named, **rest), _context(endpoint, _StdoutConsole(), rest["dry_run"])
    )


@main.command()
@_endpoint
@click.option("--model", help="Another of its models, by the name that `status` shows: one that was rolled back.")
@_with_exit_codes
def promote(endpoint: str, model: str | None) -> None:
    """Let the candidate serve that decides beside the model of ENDPOINT: the stack's state machine does it.

    Without a proof, but not while an outage is held (exit code 3). Alarms roll it back; `rollback` undoes it.
    """
    named = {} if model is None else {"model": model}
    click.echo(learning_flow.ask("promote", _context(endpoint, _StderrConsole()), **named))


@main.command()
@_endpoint
@click.argument("archive")
@_with_exit_codes
def candidate(endpoint: str, archive: str) -> None:
    """Let the model of ARCHIVE (s3://…/model.tar.gz) decide beside what serves ENDPOINT; nobody gets its answers.

    It takes the place of another candidate, and is judged every day. For what was trained when the endpoint could not
    be updated: the message about that names the archive.
    """
    if not archive.startswith("s3://"):
        raise click.UsageError("ARCHIVE is an s3:// URI of a model.tar.gz")
    click.echo(learning_flow.ask("beside", _context(endpoint, _StderrConsole()), artifacts=archive))


@main.command()
@_endpoint
@_with_exit_codes
def rollback(endpoint: str) -> None:
    """Let the model serve ENDPOINT again that served before the last promotion."""
    click.echo(learning_flow.ask("rollback", _context(endpoint, _StderrConsole())))


@main.command()
@_endpoint
@click.option("--topic", help="ARN of an SNS topic that alarms tell.")
@click.option("--fleet", help="Fleet to show, where the container's and the client's metrics carry the fleet.")
@click.option("--client-fleet", help="Fleet to show, where only the client's do: it tells several fleets apart.")
@click.option(
    "--variant",
    "variants",
    multiple=True,
    default=["AllTraffic"],
    show_default=True,
    help="Variant to show; once for each.",
)
@click.option("--namespace", default=DEFAULT_METRICS, show_default=True, help="Of the container's metrics.")
@click.option("--client-namespace", default=CLIENT_NAMESPACE, show_default=True, help="Of the client's metrics.")
@_dry_run
@_with_exit_codes
def dashboard(endpoint: str, topic: str | None, dry_run: bool, **rest: Any) -> None:  # noqa: ANN401
    """Create or replace the dashboard and the alarms of ENDPOINT."""
    sources = MetricSources(
        rest["namespace"], rest["client_namespace"], rest["fleet"], tuple(rest["variants"]), rest["client_fleet"]
    )
    dashboard_flow.put_up(sources, topic, _context(endpoint, _StdoutConsole(), dry_run), dry_run)


@main.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path), default="stack")
@click.option("--check", is_flag=True, help="Change nothing. Exit code 1 where a file is not as it would be written.")
@_with_exit_codes
def stack(folder: Path, check: bool) -> None:
    """Write the stack's template and state machine into FOLDER (default: stack), for `sam deploy`."""
    if check and (old := stack_flow.outdated(folder)):
        raise DeployError(f"{', '.join(map(str, old))}: not what `stack` would write; run it")
    for path in [] if check else stack_flow.write(folder):
        click.echo(path)


@main.command()
@_endpoint
@click.option("--keep-history", is_flag=True, help="Leave the history table.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_dry_run
@_with_exit_codes
def destroy(endpoint: str, keep_history: bool, yes: bool, dry_run: bool) -> None:
    """Take away everything that was made for ENDPOINT, and nothing else."""

    def confirmed(plan: ChangePlan) -> bool:
        return yes or click.confirm("\n".join((*rehearse(plan), "Do all this?")))

    run_destroy(_context(endpoint, _StdoutConsole(), dry_run), keep_history, None if dry_run else confirmed)
