"""`train`: one training job under the platform's contract, from hyperparameters and data to a model directory."""

import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import click

from autopilot.demand.series import DemandCsvError
from autopilot.engines.choose import EngineChoice, open_engine
from autopilot.policy.model_place import unpacked
from autopilot.ports import EngineError, ModelError
from autopilot.training.hosts import Hosts, Team, alone, check_hosts, leading, lend
from autopilot.training.hyperparameters import (
    HyperparameterError,
    Hyperparameters,
    described,
    parse_hyperparameters,
)
from autopilot.training.job import MODEL_CHANNEL, Job, JobError, StopSignal, job_from_env
from autopilot.training.search import search_of

_EXPECTED = (HyperparameterError, JobError, DemandCsvError, ModelError, EngineError)
"""Errors whose message is for the user: no stack trace."""

_CHANNELS = {"fleet": ("training", MODEL_CHANNEL), "service": ("checkpoint", MODEL_CHANNEL)}
"""Channels that a run of each environment reads."""

_QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0"}
"""TensorFlow without its log lines, and with the same sums on every processor of a kind."""


class _Teaching(click.Command):
    """A command whose help ends with every hyperparameter."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write name, default and meaning of each."""
        with formatter.section("Hyperparameters (-p, or input/config/hyperparameters.json), with their defaults"):
            formatter.write_dl([(f"{name}={default}", meaning) for name, default, meaning in described()], col_max=34)


@click.command(cls=_Teaching)
@click.option("--root", type=click.Path(path_type=Path), help="The job's directory; else AUTOPILOT_ML_ROOT, /opt/ml.")
@click.option(
    "-p", "--set", "overrides", multiple=True, metavar="NAME=VALUE", help="A hyperparameter; may be repeated."
)
@click.option("--engine", type=click.Choice(["serial", "processes", "ray"]), help="As -p engine=…")
@click.option("--address", metavar="HOST:PORT", help="As -p address=…: a Ray cluster to join.")
@click.option("--trials", metavar="N", help="As -p trials=…: so many trainings, the best of which is judged.")
def train(root: Path | None, overrides: tuple[str, ...], **short: str | None) -> None:
    """Train a policy, as SageMaker's `train` does.

    Under the job's directory it reads input/config/hyperparameters.json and, where there are any, CSV files of your own
    demand in input/data/training (timestamp,demand; one file a fleet). It leaves the model directory in model, the
    report in output/data, and checkpoints, from which it goes on if it is started again.

    \b
    A first try, half a minute: train --root /tmp/ml -p fleets=500 -p epochs=5
    PPO, in the simulator:      train --root /tmp/ml -p algorithm=ppo
    A web service:              train --root /tmp/ml -p environment=service
    Each fleet its own model:   train --root /tmp/ml -p models=each --engine processes
    The best of ten seeds:      train --root /tmp/ml --trials 10 --engine processes
    """
    job = Job(root) if root is not None else job_from_env(os.environ)
    sys.exit(run_job(job, pairs(overrides) | {name: value for name, value in short.items() if value is not None}))


def main() -> None:
    """The `train` executable. The platform may pass `train` itself as an argument."""
    arguments = sys.argv[1:]
    train.main(args=arguments[1:] if arguments[:1] == ["train"] else arguments, prog_name="train")


def pairs(overrides: Sequence[str]) -> dict[str, str]:
    """Hyperparameters that were hparams as NAME=VALUE. Raises click.BadParameter."""
    parts = [one.partition("=") for one in overrides]
    bad = next((name for name, equals, _ in parts if not equals), None)
    if bad is not None:
        raise click.BadParameter(f"{bad!r} must be NAME=VALUE", param_hint="--set")
    return {name.strip(): value for name, _, value in parts}


def run_job(job: Job, overrides: Mapping[str, str]) -> int:
    """Run a job; `overrides` go before its configuration file. The exit status: 0 for success, also when stopped early.

    A failure leaves its reason in the job's failure file, the reason first.
    """
    stop = StopSignal()
    stop.listen()
    return _status_of(job, lambda: _run(job, hyperparameters_of(job, overrides, os.environ), stop))


def _status_of(job: Job, action: Callable[[], int]) -> int:
    """The exit status of an action, and of one that fails; the latter's reason is left in the failure file."""
    try:
        return action()
    except _EXPECTED as error:
        return _failed(job, str(error), "")
    except Exception as error:  # noqa: BLE001 - the contract's last line: every failure leaves its reason
        return _failed(job, f"{type(error).__name__}: {error}", traceback.format_exc())


def _run(job: Job, hparams: Hyperparameters, stop: StopSignal) -> int:
    quiet_tensorflow()  # before any process is begun that may use it
    hosts = Hosts(job.hosts(), job.current_host())
    if len(hosts.names) <= 1:
        with open_engine(EngineChoice(hparams.engine, hparams.workers, hparams.address)) as engine:
            return _lead(job, hparams, stop, Team(engine))
    check_hosts(os.environ)
    if not job.writes():
        lend(hosts, hparams, stop)
        job.succeed()
        return 0
    with leading(hosts, hparams, stop) as led:
        status = _status_of(job, lambda: _lead(job, hparams, stop, led.team))
        led.end(status)
    return status


def _lead(job: Job, hparams: Hyperparameters, stop: StopSignal, team: Team) -> int:
    """Train on the host that writes."""
    job.check_whole(("training",) if hparams.models == "each" else ())
    job.check_writable(trains=not hparams.evaluate_steps)
    _train(job, hparams, stop, team)
    job.succeed()
    return 0


def hyperparameters_of(job: Job, hparams: Mapping[str, str], environ: Mapping[str, str]) -> Hyperparameters:
    """What was given on the command line, in the job's file, or in the environment, in this order. Raises
    HyperparameterError or JobError."""
    field = environ.get("GS_INVENTORY_FIELD")
    named = {"gs_inventory_field": field} if field else {}
    parsed = parse_hyperparameters({**named, **job.config("hyperparameters.json"), **hparams})
    search_of(parsed)
    return parsed


def _failed(job: Job, reason: str, detail: str) -> int:
    print(f"train: {reason}", file=sys.stderr, flush=True)
    if detail:
        print(detail, file=sys.stderr, flush=True)
    try:
        job.fail(f"{reason}\n{detail}".strip())
    except OSError as error:
        print(f"train: no failure file could be written: {error}", file=sys.stderr, flush=True)
    return 1


def quiet_tensorflow() -> None:
    """Before TensorFlow is imported: see _QUIET."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)


def _train(job: Job, hparams: Hyperparameters, stop: StopSignal, team: Team) -> None:
    """Import what trains, after the hyperparameters are known to be good: it costs seconds, and 500 MB."""
    used = _CHANNELS[hparams.environment]
    for name in job.unused_channels(used):
        print(f"channel {name!r} is not read: environment={hparams.environment} reads {', '.join(used)}", flush=True)
    with _with_model(job) as ready:
        if hparams.environment == "service":
            from autopilot.training.service.run import run_service  # noqa: PLC0415

            run_service(ready, hparams, stop)
        elif hparams.models == "each":
            from autopilot.training.each import find_fleets, run_each  # noqa: PLC0415

            find = partial(find_fleets, job, hparams)
            run_each(ready, hparams, stop, team.engine, partial(team.everywhere if job.dealt_out() else alone, find))
        elif hparams.trials > 1:
            from autopilot.training.trials import run_trials  # noqa: PLC0415

            run_trials(ready, hparams, stop, team.engine)
        else:
            from autopilot.training.run import run_fleet  # noqa: PLC0415

            run_fleet(ready, hparams, stop, team.engine)


@contextmanager
def _with_model(job: Job) -> Iterator[Job]:
    """The job with its model channel unpacked: the platform leaves a model.tar.gz there as it is. Raises ModelError."""
    channel = job.channel(MODEL_CHANNEL)
    if channel is None:
        yield job
        return
    with unpacked(channel) as model:
        yield replace(job, unpacked_model=model)
