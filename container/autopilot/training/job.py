"""The training platform's contract: where a job finds its configuration and data, and where it leaves its results.

    ROOT/input/config/hyperparameters.json   values, all strings       ROOT/model         the model directory
    ROOT/input/config/resourceconfig.json    hosts of the job          ROOT/output/data   report
    ROOT/input/data/CHANNEL/                 data                      ROOT/output/failure  why it failed
    ROOT/checkpoints/                        kept across interruptions

ROOT is /opt/ml, or AUTOPILOT_ML_ROOT. Configuration files are looked up whatever their case, and may be absent.
"""

import json
import os
import shutil
import signal
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

ML_ROOT = "AUTOPILOT_ML_ROOT"
MODEL_CHANNEL = "model"
_REASON_LENGTH = 1024
"""So many characters of the failure file reach the operator."""


class JobError(Exception):
    """What the platform or the user gave the job cannot be used. The message says what to fix."""


class Stopped(Exception):  # noqa: N818 - not an error: the operator's wish
    """The job was told to stop: leave what there is in good order."""


@dataclass(frozen=True, slots=True)
class Job:
    """The directories of one job."""

    root: Path
    unpacked_model: Path | None = None
    """Where the model channel's archive was unpacked to, if it held one."""

    @property
    def model(self) -> Path:
        """The model directory to write."""
        return self.root / "model"

    @property
    def output(self) -> Path:
        """Results beside the model."""
        return self.root / "output" / "data"

    @property
    def checkpoints(self) -> Path:
        """What survives an interruption."""
        return self.root / "checkpoints"

    def channel(self, name: str) -> Path | None:
        """The directory of a channel's data; None if the job has no such channel. Raises JobError for a pipe."""
        if name == MODEL_CHANNEL and self.unpacked_model is not None:
            return self.unpacked_model
        path = self.root / "input" / "data" / name
        if (path.parent / f"{name}_0").exists():
            raise JobError(f"the {name} channel comes as a pipe: use the input mode File or FastFile for it")
        return path if path.is_dir() else None

    def config(self, name: str) -> dict[str, Any]:
        """A configuration file, whatever the case of its name; empty if absent or empty. Raises JobError."""
        path = self._find(name)
        if path is None:
            return {}
        try:
            text = path.read_text("utf-8")
            config = json.loads(text) if text.strip() else {}
        except (OSError, ValueError, RecursionError) as error:
            raise JobError(f"{path} is not readable JSON: {error}") from error
        if not isinstance(config, dict):
            raise JobError(f"{path} must hold a JSON object")
        return config

    def _find(self, name: str) -> Path | None:
        directory = self.root / "input" / "config"
        if not directory.is_dir():
            return None
        return next((one for one in sorted(directory.iterdir()) if one.name.lower() == name.lower()), None)

    def hosts(self) -> tuple[str, ...]:
        """The names of the job's hosts, in order: the first is the head. Empty where none is told. Raises JobError."""
        hosts = self.config("resourceconfig.json").get("hosts") or []
        if not isinstance(hosts, list) or not all(isinstance(host, str) for host in hosts):
            raise JobError("resourceconfig.json: hosts must be a list of names")
        return tuple(sorted(set(hosts)))

    def current_host(self) -> str:
        """The name of this host: the head's where it is not told. Raises JobError where the job has no such host."""
        hosts = self.hosts()
        current = self.config("resourceconfig.json").get("current_host")
        if current is None and len(hosts) <= 1:
            return hosts[0] if hosts else ""
        if hosts and current not in hosts:
            raise JobError(f"resourceconfig.json: current_host {current!r:.100} must be one of {', '.join(hosts)}")
        return str(current)

    def writes(self) -> bool:
        """Whether this host is the one that trains and writes: the head. Raises JobError."""
        hosts = self.hosts()
        return not hosts or self.current_host() == hosts[0]

    def unused_channels(self, used: Collection[str]) -> list[str]:
        """Channels of the job that nobody will read: perhaps a name that was meant otherwise."""
        place = self.root / "input" / "data"
        names = sorted(path.name for path in place.iterdir()) if place.is_dir() else []
        return [name for name in names if name not in used and not name.startswith(".")]

    def dealt_out(self) -> list[str]:
        """Channels whose files are dealt out among several hosts: each has a part of them. Raises JobError."""
        if len(self.hosts()) <= 1:
            return []
        configs = self.config("inputdataconfig.json").items()
        return [
            name
            for name, config in configs
            if isinstance(config, dict) and config.get("S3DistributionType") == "ShardedByS3Key"
        ]

    def check_whole(self, independent: Collection[str] = ()) -> None:
        """Raises JobError if a channel's files are dealt out, except where they are independent of one another."""
        for name in self.dealt_out():
            if name not in independent:
                raise JobError(
                    f"the {name} channel is dealt out among {len(self.hosts())} hosts (ShardedByS3Key), and one model "
                    "is trained on all of it: use FullyReplicated, or one host; the training channel may be dealt out "
                    "with models=each"
                )

    def check_writable(self, *, trains: bool = True) -> None:
        """Raises JobError if results could not be written: better said before the training than after it.

        A job that does not train, but evaluates, writes a report alone.
        """
        for place in (self.model, self.output, self.checkpoints) if trains else (self.output,):
            there = next(one for one in (place, *place.parents) if one.exists())
            try:
                with tempfile.NamedTemporaryFile(dir=there, prefix=".writable."):
                    pass
            except OSError as error:
                raise JobError(
                    f"{place} cannot be written ({error.strerror or error}): mount a directory there that `train` may "
                    "write"
                ) from error

    def fail(self, reason: str) -> None:
        """Leave the reason where the platform shows it, the reason first and cut to what is shown."""
        self.output.parent.mkdir(parents=True, exist_ok=True)
        # A file's name can hold what UTF-8 cannot: better escaped than no reason at all.
        text = reason[:_REASON_LENGTH].encode("utf-8", "backslashreplace").decode("utf-8")
        (self.output.parent / "failure").write_text(text[:_REASON_LENGTH], "utf-8")

    def succeed(self) -> None:
        """Remove an earlier run's failure."""
        (self.output.parent / "failure").unlink(missing_ok=True)


def job_from_env(environment: Mapping[str, str]) -> Job:
    """The job that the environment describes."""
    return Job(Path(environment.get(ML_ROOT) or "/opt/ml"))


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file so that a reader sees the old or the new content, whatever happens between.

    Raises JobError where it cannot be written.
    """
    with written(path):
        _write_atomically(path, content)


@contextmanager
def written(path: Path) -> Iterator[None]:
    """What writes a path. Raises JobError, naming the path and the remedy, where there is no room, or no right to."""
    try:
        yield
    except OSError as error:
        raise JobError(f"{path} cannot be written ({_reason(error)}): give it more room, or the right to") from error


def _reason(error: OSError) -> str:
    """Why, in a few words; of many files that could not be copied, the first."""
    if isinstance(error, shutil.Error):
        return str(error.args[0][0][2]).partition(":")[0]
    return error.strerror or str(error)


def _write_atomically(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


class StopSignal:
    """Turns SIGTERM (and Ctrl-C) into a flag that the training loops ask for."""

    def __init__(self) -> None:
        self.asked = False

    def listen(self) -> None:
        """From now on, note the signals instead of dying of them."""
        signal.signal(signal.SIGTERM, self._note)
        signal.signal(signal.SIGINT, self._note)

    def ask(self) -> None:
        """Note that the job is to stop."""
        self.asked = True

    def check(self) -> None:
        """Raises Stopped if the job was told to stop."""
        if self.asked:
            raise Stopped

    def _note(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.ask()
