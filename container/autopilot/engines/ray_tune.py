"""Ray Tune's ASHA on the Ray cluster that this process has joined: items that are behind are given up.

An item tells its cost now and then. At its 2nd, 6th, 18th time, and so on, it goes on only if it is among the best
third of those that have come so far (asynchronous successive halving, Li et al. 2020). Who is there first depends on
the machines, and so does what is given up: the results are not the same everywhere, as those of other engines are.
"""

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Event
from typing import Any, cast

import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler

from autopilot.engines.asha import GivenUp
from autopilot.engines.attempt import attempt
from autopilot.ports import EngineError, Item, ItemFailure, Result, never

COST, REPORTS = "cost", "training_iteration"
_FIRST_LOOK, _KEPT_ONE_OF = 2, 3
_LONGEST = 1_000_000
"""Reports of an item: above what any makes, for ASHA ends those that reach it."""
_RETRIES = 2
_CHECK_SECONDS = 0.5
_QUIET = {"TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1", "RAY_AIR_NEW_OUTPUT": "0", "TUNE_WARN_THRESHOLD_S": "3600"}
_LOST = ItemFailure("WorkerLost", "its process was killed each time: perhaps for want of memory; try fewer workers")

Reporting = Callable[[Any, Callable[[float], None]], Any]
"""A function of an item that tells its cost now and then."""


class AshaEngine:
    """As ports.Engine; items may also be given up. The function is called with a second argument: what to tell the
    item's cost.
    """

    def map(
        self, function: Callable[[Item], Result], items: Iterable[Item], check: Callable[[], None] = never
    ) -> Iterator[tuple[int, Result | ItemFailure]]:
        """Place and outcome of each item: its result, an ItemFailure, or GivenUp. Raises EngineError."""
        for name, value in _QUIET.items():
            os.environ.setdefault(name, value)
        todo, heard, stop = list(items), SimpleQueue[tuple[int, Any]](), Event()
        if not todo:
            return
        with tempfile.TemporaryDirectory(prefix="autopilot-tune-") as place, ThreadPoolExecutor(1) as pool:
            running = pool.submit(_fit, _tuner(cast("Reporting", function), todo, place, _Heard(heard), _Told(stop)))
            try:
                yield from _until_done(running.done, heard, check)
            finally:
                stop.set()
            with suppress(Empty):
                while True:
                    yield heard.get_nowait()
            running.result()


def _until_done(
    done: Callable[[], bool], heard: "SimpleQueue[tuple[int, Any]]", check: Callable[[], None]
) -> Iterator[tuple[int, Any]]:
    while not done():
        check()
        with suppress(Empty):
            yield heard.get(timeout=_CHECK_SECONDS)


def _tuner(function: Reporting, items: Sequence[Any], place: str, heard: "_Heard", told: "_Told") -> tune.Tuner:
    box = ray.remote(_Box).options(num_cpus=0).remote()
    heard.box = box
    trial = tune.with_parameters(_trial, function=function, items=items, box=box)
    scheduler = ASHAScheduler(max_t=_LONGEST, grace_period=_FIRST_LOOK, reduction_factor=_KEPT_ONE_OF)
    return tune.Tuner(
        tune.with_resources(trial, {"cpu": 1}),
        param_space={"place": tune.grid_search(list(range(len(items))))},
        tune_config=tune.TuneConfig(metric=COST, mode="min", scheduler=scheduler),
        run_config=tune.RunConfig(
            storage_path=place, name="trials", verbose=0, callbacks=[heard], stop=told,
            failure_config=tune.FailureConfig(max_failures=_RETRIES),
        ),
    )  # fmt: skip


def _fit(tuner: tune.Tuner) -> None:
    """Raises EngineError."""
    try:
        tuner.fit()
    except (tune.TuneError, ray.exceptions.RayError, OSError) as error:
        raise EngineError(f"Ray Tune has failed: {error}") from error


def _trial(config: dict[str, int], function: Reporting, items: Sequence[Any], box: Any) -> None:  # noqa: ANN401 - an actor
    """One item, in a process of its own; what comes of it goes into the box."""
    item = items[config["place"]]
    outcome = attempt(lambda one: function(one, lambda cost: tune.report({COST: cost})), item)
    ray.get(box.put.remote(config["place"], outcome))


class _Box:
    """An actor: outcomes of items that were done to their end, until they are taken."""

    def __init__(self) -> None:
        self._outcomes: dict[int, Any] = {}

    def put(self, place: int, outcome: object) -> None:
        """Leave an outcome."""
        self._outcomes[place] = outcome

    def take(self, place: int) -> Any:  # noqa: ANN401 - whatever the function gives
        """The outcome; None where there is none."""
        return self._outcomes.pop(place, None)


class _Heard(tune.Callback):
    """Passes on what comes of each item, as it comes. Tune writes its state down: this has none to keep."""

    def __init__(self, heard: "SimpleQueue[tuple[int, Any]]") -> None:
        self._heard = heard
        self.box: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def on_trial_complete(self, iteration: int, trials: Sequence[Any], trial: Any, **info: Any) -> None:  # noqa: ANN401 - Tune's
        """It was done, or given up."""
        place, last = trial.config["place"], trial.last_result
        outcome = ray.get(self.box.take.remote(place))
        self._heard.put((place, GivenUp(last[COST], last[REPORTS]) if outcome is None else outcome))

    def on_trial_error(self, iteration: int, trials: Sequence[Any], trial: Any, **info: Any) -> None:  # noqa: ANN401 - Tune's
        """Its process was lost, every time."""
        self._heard.put((trial.config["place"], _LOST))


class _Told(tune.Stopper):
    """Ends all of it where that is wished."""

    def __init__(self, stop: Event) -> None:
        self._stop = stop

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """No item is ended by itself."""
        return False

    def stop_all(self) -> bool:
        """Whether it is wished."""
        return self._stop.is_set()
