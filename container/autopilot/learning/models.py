"""Which model a directory serves: versions side by side, and links that change places in one step.

ROOT/versions/<digest>/   models, by the first digits of their checksum; none is ever changed
ROOT/current              the one that serves: AUTOPILOT_MODEL_DIR=ROOT/current
ROOT/previous             the one before it
ROOT/candidate            one that is looked at beside it: AUTOPILOT_CANDIDATE=ROOT/candidate
"""

import os
import shutil
import tempfile
from datetime import datetime
from pathlib import Path

from autopilot.backtest.replay import DAY_SECONDS
from autopilot.policy.learned import LearnedPolicy, load_policy
from autopilot.policy.metadata import FLEET, read_metadata
from autopilot.policy.model_place import unpacked
from autopilot.ports import ModelError, Policy

CURRENT, PREVIOUS, CANDIDATE, VERSIONS = "current", "previous", "candidate", "versions"


def checked(model: Path) -> str:
    """The name of a model that may serve: `studio@1f3c0a9b`.

    Raises ModelError where it could not be loaded, is not for fleets, was trained on other features than this version
    computes, or was itself judged worse than the calibrated rule.
    """
    if (environment := read_metadata(model).environment) != FLEET:
        raise ModelError(f"{model} is for environment={environment}: a policy for fleets is asked for.")
    policy = load_policy(model)
    if not isinstance(policy, LearnedPolicy):
        raise ModelError(f"{model}: its own verdict prefers the calibrated rule to it. Train again on more days.")
    return policy.name


def load_candidate(place: Path, served: str) -> Policy:
    """The model of a directory or an archive, to be looked at beside what serves (its name: `default@1f3c0a9b`).

    Raises ModelError where it could never serve, and where it is the same model.
    """
    with unpacked(place) as model:
        name = checked(model)
        if name.rpartition("@")[2] == served.rpartition("@")[2]:
            raise ModelError(f"{name} is the model that serves: there is nothing to compare.")
        return load_policy(model)


def first_day_unseen(place: Path) -> int:
    """The first whole UTC day since the epoch that a model was neither trained nor judged on; 0 where it does not say.

    Raises ModelError.
    """
    with unpacked(place) as model:
        until = read_metadata(model).learned_until
    try:
        return int(datetime.fromisoformat(until).timestamp() // DAY_SECONDS) + 1 if until else 0
    except ValueError as error:
        raise ModelError(f"{place}: learned_until of its metadata.json is {until!r}, which is no time.") from error


def promote(root: Path, candidate: Path) -> str:
    """Make a candidate (a directory or an archive) the model that serves; the name of it.

    Readers see the old model or the new one, whatever happens meanwhile. Raises ModelError, and OSError.
    """
    with unpacked(candidate) as model:
        name = checked(model)
        version = _keep(root, model)
    if _target(root / CURRENT) == version:
        raise ModelError(f"{name} serves already: {root / CURRENT}")
    if before := _target(root / CURRENT):
        _point(root / PREVIOUS, before)
    _point(root / CURRENT, version)
    return name


def keep_as(root: Path, link: str, model: Path) -> str:
    """Keep a model (a directory or an archive) among the versions, under a link; its name. ModelError, OSError."""
    with unpacked(model) as found:
        name = checked(found)
        version = _keep(root, found)
    _target(root / link)
    _point(root / link, version)
    return name


def drop(root: Path, link: str) -> None:
    """Take a link away; the model stays among the versions."""
    (root / link).unlink(missing_ok=True)


def name_of(place: Path) -> str:
    """The name of a model that is known to be usable: `studio@1f3c0a9b`. Raises ModelError."""
    return read_metadata(place).version


def roll_back(root: Path) -> str:
    """Serve what served before; the name of it. Once more: forward again. Raises ModelError, and OSError."""
    current, previous = _target(root / CURRENT), _target(root / PREVIOUS)
    if current is None or previous is None:
        raise ModelError(f"{root} has no previous model: nothing was promoted there twice.")
    name = checked(root / previous)
    _point(root / CURRENT, previous)
    _point(root / PREVIOUS, current)
    return name


def _keep(root: Path, model: Path) -> Path:
    """A copy of a model among the versions, whole or not at all; where it stands, seen from the root."""
    version = Path(VERSIONS, read_metadata(model).model_sha256[:16])
    place = root / version
    if place.exists():
        return version
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=".new-") as unfinished:
        os.replace(shutil.copytree(model, Path(unfinished, "model")), place)
    return version


def _target(link: Path) -> Path | None:
    if link.exists() and not link.is_symlink():
        raise ModelError(f"{link} is no link: name a directory that `autopilot promote` made, or a new one.")
    return Path(os.readlink(link)) if link.is_symlink() else None


def _point(link: Path, target: Path) -> None:
    """Point a link elsewhere in one step."""
    fresh = link.with_name(f".{link.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    os.replace(fresh, link)
