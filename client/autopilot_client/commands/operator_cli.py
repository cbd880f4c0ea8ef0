"""The commands for three in the morning: pause, set, resume, status. They write and read annotations, nothing else."""

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime

import click

from autopilot_client.kube.annotations import clear_overrides, write_overrides
from autopilot_client.kube.api import Kube, in_cluster
from autopilot_client.kube.kubeconfig import from_kubeconfig
from autopilot_client.kube.targets import Target, read_one
from autopilot_client.ports import KubeError, KubeRefusedError
from autopilot_client.rules.kinds import ObjectPlace, place_of
from autopilot_client.rules.overrides import LARGEST, PREFIX, Overrides, read_overrides

SECONDS = {"d": 86400, "h": 3600, "m": 60}
LONGEST_DAYS = 90
OWN_ACCOUNT = "; the client's own account may not write annotations: use yours, with --kubeconfig"
JUMP_FACTOR, JUMP_FREE = 10, 50
"""As for an answer of the endpoint: more than so many times the size, and more than so many servers, is doubted."""


def _seconds(_: click.Context, __: click.Parameter, value: str | None) -> float | None:
    """`2h`, `90m`, `1d12h` in seconds."""
    if value is None:
        return None
    parts = re.findall(r"(\d{1,6})([dhm])", value)
    seconds = float(sum(int(count) * SECONDS[unit] for count, unit in parts))
    if "".join(f"{count}{unit}" for count, unit in parts) != value or not 0 < seconds <= LONGEST_DAYS * 86400:
        raise click.BadParameter(f"{value!r}: write it like 2h, 90m or 1d12h, at most {LONGEST_DAYS}d")
    return seconds


def _place(_: click.Context, __: click.Parameter, value: str) -> ObjectPlace:
    """Where a fleet is, from `deployment/NAME`, `fleet/NAME` or such a target after its namespace and a slash."""
    try:
        return place_of(value)
    except ValueError:
        remedy = "write deployment/NAME, fleet/NAME (an Agones Fleet) or another target, or NAMESPACE/deployment/NAME"
        raise click.BadParameter(f"{value!r}: {remedy}") from None


Command = Callable[..., None]


def _on_a_fleet(command: Command) -> Command:
    """The argument and the options that every command has."""
    for decorate in (
        click.argument("fleet", callback=_place),
        click.option("--namespace", "-n", envvar="POD_NAMESPACE", help="Where the fleet is, if FLEET does not say it."),
        click.option("--kubeconfig", envvar="KUBECONFIG", help="Default: ~/.kube/config."),
    ):
        command = decorate(command)
    return command


_FOR = click.option("--for", "duration", callback=_seconds, help="How long, such as 2h; without it until `resume`.")


@click.command()
@_on_a_fleet
@_FOR
def pause(fleet: ObjectPlace, namespace: str | None, kubeconfig: str | None, duration: float | None) -> None:
    """Leave a fleet at the size it has."""
    _write(_cluster(kubeconfig, fleet, namespace), fleet, {"paused": "true"}, duration)


@click.command("set")
@_on_a_fleet
@_FOR
@click.option("--size", type=click.IntRange(0, LARGEST), help="The size, whatever the endpoint says.")
@click.option("--minimum", type=click.IntRange(0, LARGEST), help="In place of the fleet's own minimum.")
@click.option("--maximum", type=click.IntRange(0, LARGEST), help="In place of the fleet's own maximum.")
@click.option("--yes", is_flag=True, help="Also where that is more than ten times the present size.")
def set_size(
    fleet: ObjectPlace,
    namespace: str | None,
    kubeconfig: str | None,
    duration: float | None,
    yes: bool,
    **sizes: int | None,
) -> None:
    """Set a size, or other limits, over those of the configuration. Servers in use are never taken."""
    values = {name: str(size) for name, size in sizes.items() if size is not None}
    if not values:
        raise click.UsageError("say what to set: --size, --minimum or --maximum")
    kube = _cluster(kubeconfig, fleet, namespace)
    with _errors():
        target = read_one(kube, fleet.target)
    _fit(read_overrides(target.annotations, time.time()), sizes)
    if not yes:
        _plausible(target.replicas, sizes)
    _write(kube, fleet, values, duration)


def _plausible(present: int, sizes: Mapping[str, int | None]) -> None:
    """Raises UsageError where a size or minimum looks like a digit too many: each server is paid for."""
    for name in ("size", "minimum"):
        if (sizes[name] or 0) > max(JUMP_FREE, JUMP_FACTOR * present):
            raise click.UsageError(f"--{name} {sizes[name]} for a fleet of {present} servers: if so, say --yes as well")


def _fit(written: Overrides, sizes: Mapping[str, int | None]) -> None:
    """Raises UsageError where a limit would not fit the other one, given with it or written before."""
    given_low, given_high = sizes["minimum"], sizes["maximum"]
    low = written.minimum if given_low is None else given_low
    high = written.maximum if given_high is None else given_high
    if low is None or high is None or low <= high or (given_low is None and given_high is None):
        return
    if given_low is not None and given_high is not None:
        raise click.UsageError(f"--minimum {low} is above --maximum {high}: turn them round, or say one of them alone")
    other = f"--maximum {low} or more" if given_high is None else f"--minimum {high} or less"
    raise click.UsageError(f"minimum {low} would be above maximum {high}, as is written there: say {other} as well")


@click.command()
@_on_a_fleet
def resume(fleet: ObjectPlace, namespace: str | None, kubeconfig: str | None) -> None:
    """Take every override of a fleet away; one that was left to somebody else is set again."""
    kube = _cluster(kubeconfig, fleet, namespace)
    with _errors():
        left = clear_overrides(kube, fleet.target, datetime.now(UTC).isoformat())
    click.echo(f"{fleet}: no override; the client decides from its next pass on")
    for name in left:
        click.echo(f"  left as it is: {PREFIX}{name} is no name of ours, and has no effect")


@click.command("status")
@_on_a_fleet
def show_status(fleet: ObjectPlace, namespace: str | None, kubeconfig: str | None) -> None:
    """Show a fleet's size, its overrides and until when, and what is written there and is no use."""
    with _errors():
        _show(fleet, read_one(_cluster(kubeconfig, fleet, namespace), fleet.target))


def _write(kube: Kube, fleet: ObjectPlace, values: dict[str, str], duration: float | None) -> None:
    until = None if duration is None else _rfc3339(time.time() + duration)
    ends: dict[str, str | None] = {f"{name}-until": until for name in values}
    with _errors():
        write_overrides(kube, fleet.target, values | ends)
        _show(fleet, read_one(kube, fleet.target))


def _show(fleet: ObjectPlace, target: Target) -> None:
    found = read_overrides(target.annotations, time.time())
    until = dict(found.until)
    rolling = "; a new version is being rolled out" if target.rolling else ""
    click.echo(f"{fleet}: {target.replicas} servers{rolling}")
    for word in found.active or ("no override",):
        end = until.get(word.split()[0])
        click.echo(f"  {word}{f' until {_rfc3339(end)}' if end else ''}")
    if found.paused and found.size is not None:
        click.echo(f"  while it is paused, size {found.size} has no effect; resume it and set the size again")
    for word, end in found.ended:
        click.echo(f"  ended: {word}, at {_rfc3339(end)}")
    for text in found.mistakes:
        click.echo(f"  mistake: {text}")


def _rfc3339(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _cluster(kubeconfig: str | None, fleet: ObjectPlace, namespace: str | None) -> Kube:
    """The fleet's namespace in the cluster of a kubeconfig, or of the pod that this runs in. Raises UsageError."""
    source = click.get_current_context().get_parameter_source("namespace")
    said = source is click.core.ParameterSource.COMMANDLINE and namespace != fleet.namespace
    if fleet.namespace and said:
        raise click.UsageError(f"{fleet} is in namespace {fleet.namespace}, and --namespace says {namespace}: say one")
    where = fleet.namespace or namespace
    if not where:
        raise click.UsageError("say where the fleet is: NAMESPACE/deployment/NAME, or --namespace NAMESPACE")
    with _errors():
        inside = not kubeconfig and "KUBERNETES_SERVICE_HOST" in os.environ
        path = kubeconfig or os.path.expanduser("~/.kube/config")
        return Kube(in_cluster(os.environ) if inside else from_kubeconfig(path), where)


@contextmanager
def _errors() -> Iterator[None]:
    """What the cluster refuses, as one line for people."""
    try:
        yield
    except KubeError as error:
        refused = isinstance(error, KubeRefusedError) and error.status == 403
        raise click.ClickException(f"{error}{OWN_ACCOUNT if refused else ''}") from error
