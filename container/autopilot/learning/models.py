"""Which model a directory serves: versions side by side, and links that change places in one step.

ROOT/versions/<digest>/   models, by the first digits of their checksum; none is ever changed
ROOT/current              the one that serves: AUTOPILOT_MODEL_DIR=ROOT/current
ROOT/previous             the one before it
ROOT/candidate            one that is looked at beside it: AUTOPILOT_CANDIDATE=ROOT/candidate
ROOT/taken-back           the one that was rolled back last
"""

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from autopilot.backtest.replay import DAY_SECONDS
from autopilot.policy.learned import LearnedPolicy, load_policy
from autopilot.policy.metadata import FLEET, read_metadata
from autopilot.policy.model_place import unpacked
from autopilot.ports import ModelError, Policy

CURRENT, PREVIOUS, CANDIDATE, TAKEN_BACK, VERSIONS = "current", "previous", "candidate", "taken-back", "versions"


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
    if not until:
        return 0
    try:
        at = datetime.fromisoformat(until)
    except ValueError as error:
        raise ModelError(f"{place}: learned_until of its metadata.json is {until!r}, which is no time.") from error
    if at.tzinfo is None:
        raise ModelError(f"{place}: learned_until of its metadata.json is {until!r}, which has no zone: add Z for UTC.")
    return int(at.timestamp() // DAY_SECONDS) + 1


def promote(root: Path, candidate: Path) -> str:
    """Make a candidate (a directory or an archive) the model that serves; the name of it.

    Readers see the old model or the new one, whatever happens meanwhile. It is no candidate any more, so that nothing
    brings it in again once somebody has taken it back. Raises ModelError, and OSError.
    """
    with unpacked(candidate) as model:
        name = checked(model)
        version = _keep(root, model)
    if _target(root / CURRENT) == version:
        raise ModelError(f"{name} serves already: {root / CURRENT}")
    if before := _target(root / CURRENT):
        _point(root / PREVIOUS, before)
    _point(root / CURRENT, version)
    for link in (CANDIDATE, TAKEN_BACK):
        if _target(root / link) == version:
            (root / link).unlink()
    return name


def keep_as(root: Path, link: str, model: Path) -> str:
    """Keep a model (a directory or an archive) among the versions, under a link; its name. ModelError, OSError."""
    with unpacked(model) as found:
        name = checked(found)
        version = _keep(root, found)
    _target(root / link)
    _point(root / link, version)
    return name


def name_of(place: Path) -> str:
    """The name of a model that is known to be usable: `studio@1f3c0a9b`. Raises ModelError."""
    return read_metadata(place).version


def roll_back(root: Path) -> str:
    """Serve what served before the last promotion; the name of it. What served is taken back, and stays among the
    versions: `promote` takes it up again. Raises ModelError, and OSError.
    """
    current, previous = _target(root / CURRENT), _target(root / PREVIOUS)
    if current is None or previous is None:
        raise ModelError(f"{root} has no previous model: nothing was promoted there{_forward(root)}.")
    name = checked(root / previous)
    _point(root / TAKEN_BACK, current)
    _point(root / CURRENT, previous)
    (root / PREVIOUS).unlink()
    return name


def _forward(root: Path) -> str:
    taken = root / TAKEN_BACK
    if not taken.exists():
        return " twice"
    name = name_of(taken)
    return f" since {name} was taken back; to serve that again: autopilot promote {name} --to {root}"


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A model of the versions: its name, where it is, and what links to it since when (seconds since the epoch)."""

    name: str
    place: Path
    links: Mapping[str, float]


def kept(root: Path) -> list[ModelVersion]:
    """The models that are kept, those with a link first. What is damaged is left out."""
    links: dict[Path, dict[str, float]] = {}
    for link in (CURRENT, PREVIOUS, CANDIDATE, TAKEN_BACK):
        if (target := _target(root / link)) is not None:
            links.setdefault(target, {})[link] = (root / link).lstat().st_mtime
    others = sorted(Path(VERSIONS, one.name) for one in (root / VERSIONS).glob("[!.]*"))
    return [found for version in dict.fromkeys((*links, *others)) if (found := _kept(root, version, links))]


def _kept(root: Path, version: Path, links: Mapping[Path, Mapping[str, float]]) -> ModelVersion | None:
    try:
        return ModelVersion(name_of(root / version), root / version, links.get(version, {}))
    except ModelError:
        return None


def find_kept(root: Path, name: str) -> Path:
    """Where the kept model of a name (`studio@1f3c0a9b`, or the checksum alone) is. Raises ModelError."""
    found = kept(root)
    for one in found:
        if name in (one.name, one.name.rpartition("@")[2]):
            return one.place
    known = ", ".join(one.name for one in found) or "nothing"
    raise ModelError(f"{name} is no model directory, no archive, and none that {root} keeps. It keeps {known}.")


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
