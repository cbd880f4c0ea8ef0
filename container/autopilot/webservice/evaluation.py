"""Players of the web service compared on the very same loads and chances."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from math import inf, isfinite
from statistics import NormalDist
from typing import Any

import numpy as np

from autopilot.webservice.observation import Array, Floats
from autopilot.webservice.rules import Clairvoyant, Player, Rule
from autopilot.webservice.simulator import ServiceEnvironment

FEWEST_EPISODES = 10
"""Fewer tell no interval."""


@dataclass(frozen=True, slots=True)
class Sums:
    """What an episode brought to each of N services; all [N].

    profit    dollars
    expected  the same before chance decided what machines can serve
    downtime  minutes
    machines  minutes of active machines
    starting  minutes of starting machines
    load      transactions
    missing   transactions that failed
    minutes   length of the episode
    """

    profit: Array
    expected: Array
    downtime: Array
    machines: Array
    starting: Array
    load: Array
    missing: Array
    minutes: Array


@dataclass(frozen=True, slots=True)
class Episode:
    """One service minute by minute; all [minutes]. As in Sums, and `able`: what its machines can serve on average."""

    load: Array
    able: Array
    active: Array
    starting: Array
    missing: Array
    down: Array
    profit: Array


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean and its 95 % confidence interval: without bounds where there were too few episodes to tell one."""

    mean: float
    low: float
    high: float

    def excludes_zero(self) -> bool:
        """Whether the interval tells a sign."""
        return self.low > 0 or self.high < 0

    @property
    def bounded(self) -> bool:
        """Whether there is an interval to tell."""
        return isfinite(self.low)


@dataclass(frozen=True, slots=True)
class Standing:
    """How a player did over E episodes.

    profit      dollars an episode
    difference  to the reference player, episode by episode on the same loads and chances
    downtime    share of minutes, per cent
    missing     share of transactions that failed, per cent
    machines    active on average
    """

    name: str
    profit: Estimate
    difference: Estimate
    downtime: float
    missing: float
    machines: float

    def scores(self) -> dict[str, Any]:
        """The same as JSON can hold it: a bound that is not known is null."""
        scores = asdict(self)
        for name in ("profit", "difference"):
            scores[name] = {key: value if isfinite(value) else None for key, value in scores[name].items()}
        return scores


def _turn(environment: ServiceEnvironment, player: Player | Clairvoyant, seen: Floats) -> tuple[Floats, Floats, bool]:
    if isinstance(player, Clairvoyant):
        return environment.step_at_once(player.machines(environment))
    return environment.step(player(environment, seen))


def play(environment: ServiceEnvironment, rule: Rule, seed: int, episode: int = 0) -> Sums:
    """The sums of one episode, as the first that the environment plays."""
    environment.forget()
    seen, player, over = environment.reset(seed, episode), rule(), False
    sums = np.zeros((len(fields(Sums)), environment.count))
    while not over:
        seen, _, over = _turn(environment, player, seen)
        sums += _minute(environment)
    return Sums(*sums)


def _minute(environment: ServiceEnvironment) -> Array:
    """The fields of Sums for the last minute, [8, N]."""
    result, state = environment.last, environment.state
    load, failed, down, active = result.minute
    starting = state.starting.sum(axis=1)
    return np.stack([result.profit, result.expected, down, active, starting, load, failed, np.ones_like(load)])


def record(environment: ServiceEnvironment, rule: Rule, seed: int, service: int = 0) -> Episode:
    """One episode of one of the services, minute by minute."""
    environment.forget()
    seen, player, over, minutes = environment.reset(seed), rule(), False, []
    while not over:
        seen, _, over = _turn(environment, player, seen)
        profit, _, down, active, starting, load, failed, _ = _minute(environment)[:, service]
        able = active * environment.config.tpm_per_machine
        minutes.append((load, able, active, starting, failed, down, profit))
    return Episode(*np.array(minutes).T)


def compare(
    rules: Mapping[str, Rule], reference: str, environment: ServiceEnvironment, seeds: Sequence[int]
) -> tuple[Standing, ...]:
    """Every rule on the same episodes, N for each seed. Raises KeyError for an unknown reference."""
    played = {name: [play(environment, rule, seed) for seed in seeds] for name, rule in rules.items()}
    joined = {name: join(parts) for name, parts in played.items()}
    return tuple(standing(name, sums, joined[reference]) for name, sums in joined.items())


def join(parts: Sequence[Sums]) -> Sums:
    """Episodes of several plays, one after the other."""
    return Sums(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Sums)))


def standing(name: str, sums: Sums, reference: Sums) -> Standing:
    """How a player did, also against another on the same episodes."""
    minutes = sums.minutes.sum()
    return Standing(
        name,
        profit=estimate(sums.profit),
        difference=estimate(sums.profit - reference.profit),
        downtime=float(100 * sums.downtime.sum() / minutes),
        missing=float(100 * sums.missing.sum() / sums.load.sum()),
        machines=float(sums.machines.sum() / minutes),
    )


def estimate(values: Array) -> Estimate:
    """Mean of E independent values, with Student's interval; an unbounded one for fewer than FEWEST_EPISODES."""
    mean = float(values.mean())
    if len(values) < FEWEST_EPISODES:
        return Estimate(mean, -inf, inf)
    margin = float(t_quantile(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return Estimate(mean, mean - margin, mean + margin)


def t_quantile(share: float, degrees: int) -> float:
    """A quantile of Student's t: the expansion of Cornish and Fisher, to within 0.001 from nine degrees on."""
    z = NormalDist().inv_cdf(share)
    first = (z**3 + z) / (4 * degrees)
    second = (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * degrees**3)
    return z + first + second + third
