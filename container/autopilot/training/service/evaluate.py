"""`autopilot evaluate`: a policy for the web service beside simple rules, from a model directory or a checkpoint."""

from pathlib import Path

import click

from autopilot.policy.metadata import METADATA_FILE, read_metadata
from autopilot.ports import ModelError
from autopilot.training.checkpoint import read_checkpoint
from autopilot.training.command import pairs, quiet_tensorflow
from autopilot.training.hyperparameters import HyperparameterError, parse_hyperparameters
from autopilot.training.job import JobError
from autopilot.webservice.observation import WIDTH_FAITHFUL


@click.command()
@click.argument("place", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--episodes",
    default=40,
    type=click.IntRange(1, 1000),
    show_default=True,
    help="Episodes to play; fewer than 10 tell no interval.",
)
@click.option("--out", type=click.Path(path_type=Path), default=Path("out/evaluate"), show_default=True)
@click.option(
    "-p", "--set", "overrides", multiple=True, metavar="NAME=VALUE", help="A hyperparameter of the training run."
)
def evaluate(place: Path, episodes: int, out: Path, overrides: tuple[str, ...]) -> None:
    """Play a policy for the web service beside simple rules, on the same episodes; a table and a report with plots.

    PLACE is a model directory, or the checkpoint file of a training run (checkpoints/run.npz). Give the
    hyperparameters of the service if it is not the usual one, such as `machine_cost`.
    """
    quiet_tensorflow()
    from autopilot.training.service import run  # noqa: PLC0415  TensorFlow: seconds

    try:
        out.mkdir(parents=True, exist_ok=True)  # before the episodes are played: that takes a while
        hparams = parse_hyperparameters({"environment": "service", **_trained_with(place), **pairs(overrides)})
        report = run.evaluate_place(place, hparams, episodes, out)
    except (HyperparameterError, JobError, ModelError) as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"--out {out} cannot be written: {error.strerror or error}") from error
    click.echo(f"Report: {report}")


def _trained_with(place: Path) -> dict[str, str]:
    """Hyperparameters that a model directory or a checkpoint was trained with, as far as its network needs them."""
    if (place / METADATA_FILE).is_file():
        return {"faithful": str(read_metadata(place).width == WIDTH_FAITHFUL)}
    from autopilot.training.service import run  # noqa: PLC0415  TensorFlow: seconds

    checkpoint = read_checkpoint(place / run.CHECKPOINT if place.is_dir() else place)
    hparams = {} if checkpoint is None else run.hparams_in(checkpoint)
    return {name: str(value) for name, value in hparams.items() if name != "environment"}
