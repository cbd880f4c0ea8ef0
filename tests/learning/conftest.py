from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from autopilot.core.fleet import FleetNow
from autopilot.history.sqlite import SqliteHistory
from autopilot.ports import Decided, Observed
from autopilot.service import Ask
from autopilot.settings import Settings
from autopilot.training.command import quiet_tensorflow
from autopilot.training.hyperparameters import Hyperparameters
from autopilot.wiring import build

NOW = 1_794_000_000 // 86400 * 86400 + 12 * 3600.0
SLOTS = 288


def days_of(count: float, seed: int = 1, level: float = 100) -> np.ndarray:
    """Demand of so many days, noon to noon, slot by slot: so smooth that no hold ever doubts it."""
    slot = np.arange(int(count * SLOTS))
    noise = np.random.default_rng(seed).integers(-1, 2, len(slot))
    return np.round(level * (1 + 0.5 * np.sin(slot / SLOTS * 2 * np.pi))) + noise


def sqlite(url: str) -> SqliteHistory:
    """A store to write to, with all the time that a busy machine takes: a decision drops what it has no time for."""
    return SqliteHistory(url.removeprefix("sqlite:///"), budget_seconds=600)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a store that is not there yet; the clock of the commands says that it is NOW."""
    monkeypatch.setattr("autopilot.learning.commands.asked.time.time", lambda: NOW)
    return f"sqlite:///{tmp_path}/history.sqlite3"


@pytest.fixture
def stored(store: str) -> Callable[..., None]:
    """Writes demand of a fleet up to NOW into the store; the last `doubted` slots as an outage hold's."""

    def write(fleet: str, demand: np.ndarray, doubted: int = 0) -> None:
        history = sqlite(store)
        times = NOW - 300.0 * np.arange(len(demand), 0, -1)
        history.record([Observed(fleet, *one) for one in zip(times.tolist(), demand.tolist(), strict=True)])
        history.remember([Decided(fleet, at, 100, 100.0) for at in times[len(times) - doubted :].tolist()])
        history.close()

    return write


@pytest.fixture
def served(store: str) -> Callable[..., None]:
    """Asks the service for decisions for a fleet, slot by slot up to NOW, and leaves its history in the store."""

    def serve(fleet: str, demand: Sequence[float] | np.ndarray) -> None:
        autopilot = build(Settings.from_env({"AUTOPILOT_HISTORY": store, "AUTOPILOT_MAX_CLOCK_SKEW": "0"}))
        for back, servers in zip(range(len(demand), 0, -1), demand, strict=True):
            autopilot.decide([Ask(FleetNow(fleet, NOW - 300.0 * back, float(servers)))])
        autopilot.history.close()

    return serve


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory whose network has learned nothing."""
    quiet_tensorflow()
    from autopilot.training.export import export  # noqa: PLC0415 - TensorFlow takes seconds
    from autopilot.training.network import build_fleet_network  # noqa: PLC0415
    from autopilot.training.run import model_metadata  # noqa: PLC0415

    hparams, place = Hyperparameters(name="untrained"), tmp_path_factory.mktemp("untrained") / "model"
    export(build_fleet_network(hparams.layers, hparams.head_layers, 1), model_metadata(hparams, None), place)
    return place
