"""A generator of demand: fleets of players who arrive, play and leave, each fleet unlike the next.

Players arrive at a rate with a daily and weekly shape, growth, noise of several colours and events (maintenance,
outages, crowds, launches, scheduled jobs); each stays for a random session; servers hold a fixed number of them. Every
property is drawn per fleet, wide enough that a real fleet should look like one of them. Nothing here is fitted to a
real series. Time is in minutes, counted from a Monday 00:00; arrays are [T, F]: minutes by fleets.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from autopilot.core.history import Floats

Rng = np.random.Generator
Doubles = npt.NDArray[np.float64]

DAY = 1440
WEEK = 7 * DAY


@dataclass(frozen=True, slots=True)
class DemandConfig:
    """The ranges that fleets are drawn from. A pair is drawn from log-uniformly, a single number is a probability."""

    servers: tuple[float, float] = (3, 20_000)
    """mean size of a fleet"""
    players_per_server: tuple[float, float] = (2, 10_000)
    """how many sessions make one server, for fleets with more than one: the larger, the smoother"""
    one_player_per_server: float = 0.25
    calm: float = 0.6
    """share of fleets with little noise beside that of the sessions themselves, as large games have"""
    calm_factor: tuple[float, float] = (0.01, 0.4)
    """how much of the noise a calm fleet has"""
    session_minutes: tuple[float, float] = (2, 240)
    seasonal: float = 0.88
    """share of fleets with a daily shape"""
    daily_amplitude: tuple[float, float] = (0.05, 1.2)
    """half the logarithm of peak over trough"""
    weekday_noise: tuple[float, float] = (0.005, 0.08)
    """how much the days of the week differ, beside the weekend"""
    growth_per_day: float = 0.015
    """standard deviation of the growth of log demand a day"""
    rough: float = 0.35
    """share of fleets whose slow wandering is rough at every scale, as a random walk is"""
    fast_noise: tuple[float, float] = (0.002, 0.2)
    middle_noise: tuple[float, float] = (0.002, 0.15)
    slow_noise: tuple[float, float] = (0.005, 0.25)
    drift_noise: tuple[float, float] = (0.002, 0.15)
    measurement_noise: tuple[float, float] = (0.002, 0.4)
    maintenance: float = 0.3
    """share of fleets with a weekly (now and then daily) maintenance window"""
    outages: float = 0.35
    crowds: float = 0.25
    launches: float = 0.15
    jumps: float = 0.2
    jobs: float = 0.15
    spikes: float = 0.15


@dataclass(frozen=True, slots=True)
class DrawnFleets:
    """What was drawn for F fleets; every array is [F]."""

    servers: Doubles
    players: Doubles
    """players per server"""
    session: Doubles
    """mean minutes of a session's first stage"""
    second_stage: Doubles
    """probability of a second stage: 0 exponential sessions, 1 Erlang, in between long tails"""
    second_session: Doubles
    """mean minutes of the second stage"""
    noise: Doubles
    """what the standard deviation of every kind of noise is multiplied by"""

    def __len__(self) -> int:
        return len(self.servers)

    @property
    def mean_session(self) -> Doubles:
        """Mean minutes of a whole session."""
        return self.session + self.second_stage * self.second_session


def generate(rng: Rng, fleets: int, minutes: int, config: DemandConfig | None = None) -> Floats:
    """Demand of `fleets` fleets in each of `minutes` minutes, whole servers: [F, T]. One seed, one demand."""
    config = config or DemandConfig()
    drawn = draw_fleets(rng, fleets, config)
    arrivals = _log_shape(rng, fleets, minutes, config) + _log_noise(rng, drawn, minutes, config)
    lost = np.zeros_like(arrivals)
    _add_events(rng, arrivals, lost, drawn, config)
    playing = _sessions(rng, drawn, arrivals, lost)
    playing *= np.exp(_measurement(rng, drawn, minutes, config))
    return np.ascontiguousarray(np.rint(playing / drawn.players.astype(np.float32)).T)


def draw_fleets(rng: Rng, count: int, config: DemandConfig) -> DrawnFleets:
    """Draw what makes each fleet itself."""
    players = log_uniform(rng, config.players_per_server, count)
    session = log_uniform(rng, config.session_minutes, count)
    kind = rng.integers(0, 3, count)  # exponential, two stages, a share of long ones
    share = np.choose(kind, [np.zeros(count), np.ones(count), rng.uniform(0.05, 0.5, count)])
    return DrawnFleets(
        servers=log_uniform(rng, config.servers, count),
        players=np.where(rng.random(count) < config.one_player_per_server, 1.0, players),
        session=np.where(kind == 1, session / 2, session),
        second_stage=share,
        second_session=np.where(kind == 1, session / 2, session * rng.uniform(2, 6, count)),
        noise=np.where(rng.random(count) < config.calm, log_uniform(rng, config.calm_factor, count), 1.0),
    )


def log_uniform(rng: Rng, bounds: tuple[float, float], count: int | tuple[int, ...]) -> Doubles:
    """Numbers whose logarithms are drawn evenly between those of the bounds: [count]."""
    return np.exp(rng.uniform(np.log(bounds[0]), np.log(bounds[1]), count))


def some(rng: Rng, share: float, values: Doubles) -> Doubles:
    """The values for a random share of the fleets, 0 for the others."""
    return np.where(rng.random(values.shape) < share, values, 0.0)


# --- the shape of a day and a week -------------------------------------------------------------------------------


def _log_shape(rng: Rng, count: int, minutes: int, config: DemandConfig) -> Floats:
    """Log of the arrival rate relative to its mean: daily shape, weekend, growth. [T, F]."""
    step = 5
    at = np.arange(0, minutes + step, step)[:, None] + rng.integers(0, WEEK, count)
    day = np.zeros(at.shape)
    for harmonic in range(1, 8):
        size = rng.uniform(0, 1, count) / harmonic**1.3 if harmonic > 1 else 1.0
        day += size * np.sin(2 * np.pi * harmonic * at / DAY + rng.uniform(0, 2 * np.pi, count))
    hardness = np.where(rng.random(count) < 0.2, rng.uniform(1, 4, count), 0.01)  # office hours: flat top and bottom
    day = np.tanh(hardness * day) / np.tanh(hardness)
    amplitude = some(rng, config.seasonal, log_uniform(rng, config.daily_amplitude, count))
    offsets = rng.normal(0, 1, (7, count)) * log_uniform(rng, config.weekday_noise, count)
    offsets[5:] += rng.normal(0, 0.15, count) * (amplitude > 0)
    weekday = smooth_days(offsets, at)
    stretch = 1 + smooth_days(rng.normal(0, 1, (7, count)) * log_uniform(rng, (0.01, 0.15), count), at)
    growth = rng.normal(0, config.growth_per_day, count) * (at - at.mean()) / DAY
    habits = _habits(rng, count, at) * (amplitude > 0)
    coarse = amplitude * day * stretch + weekday + growth + habits
    return per_minute(coarse, step, minutes)


def _habits(rng: Rng, count: int, at: npt.NDArray[np.int64]) -> Doubles:
    """What happens at the same minute every day: daily resets, the end of school, lunch. Some are sharp."""
    out = np.zeros(at.shape)
    for _ in range(4):
        size = some(rng, 0.6, log_uniform(rng, (0.004, 0.2), count)) * rng.choice([-1, 1, 1], count)
        rise, fade = log_uniform(rng, (4, 120), count), log_uniform(rng, (20, 240), count)
        since = (at - rng.integers(0, DAY, count)) % DAY
        out += size * (1 - np.exp(-since / rise)) * np.exp(-since / fade)
    return out


def smooth_days(offsets: Doubles, at: npt.NDArray[np.int64]) -> Doubles:
    """An offset for each day of the week [7, F], changing over at midnight within six hours. `at` [T, F] minutes."""
    day, minute = np.divmod(at, DAY)
    share = np.clip((minute - (DAY - 360)) / 360, 0, 1)
    fleet = np.arange(at.shape[1])
    offset: Doubles = offsets[day % 7, fleet] * (1 - share) + offsets[(day + 1) % 7, fleet] * share
    return offset


def per_minute(coarse: Doubles, step: int, minutes: int) -> Floats:
    """Straight lines between points `step` minutes apart: [minutes, F]."""
    low = np.repeat(coarse[:-1], step, axis=0)[:minutes]
    rise = np.repeat(np.diff(coarse, axis=0), step, axis=0)[:minutes]
    share = (np.arange(minutes) % step / step)[:, None]
    return (low + rise * share).astype(np.float32)


# --- noise ----------------------------------------------------------------------------------------------------


def _log_noise(rng: Rng, fleets: DrawnFleets, minutes: int, config: DemandConfig) -> Floats:
    """Noise of the arrival rate: slow and middling wandering, and drifts that keep their direction for a while."""
    step, count = 5, len(fleets)
    points = minutes // step + 2

    def wander(share: float, sizes: tuple[float, float], memory: tuple[float, float]) -> Doubles:
        size = some(rng, share, log_uniform(rng, sizes, count)) * calm
        return ornstein(rng, size, log_uniform(rng, memory, count) / step, points)

    calm = np.sqrt(fleets.noise)  # days differ in calm fleets too
    rough = rng.random(count) < config.rough
    noise = wander(0.85, config.slow_noise, (600, 6000)) * rough
    noise += _smooth_wander(rng, config, calm * ~rough, points)
    calm = fleets.noise
    noise += wander(0.6, config.middle_noise, (30, 300))
    memory = log_uniform(rng, (20, 180), count) / step
    speed = some(rng, 0.4, log_uniform(rng, config.drift_noise, count)) * np.sqrt(calm) / memory
    drift = ornstein(rng, speed, memory, points)
    forget = np.exp(-step / log_uniform(rng, (120, 1000), count))
    noise += _leaky_sum(drift, forget)
    noise += _jumps(rng, count, points, config) * calm
    return per_minute(noise, step, minutes)


def _smooth_wander(rng: Rng, config: DemandConfig, share: Doubles, points: int) -> Doubles:
    """Slow wandering without edges: better and worse days, that no ten minutes can tell. [points, F]."""
    every = 36  # points: three hours
    size = some(rng, 0.9, log_uniform(rng, config.slow_noise, len(share))) * share
    knots = ornstein(rng, size, log_uniform(rng, (600, 6000), len(share)) / 180, points // every + 2)
    at = np.arange(points) / every
    low, part = at.astype(np.int64), (1 - np.cos(np.pi * (at % 1)))[:, None] / 2
    smooth: Doubles = knots[low] * (1 - part) + knots[low + 1] * part
    return smooth


def ornstein(rng: Rng, size: Doubles, memory: Doubles, points: int) -> Doubles:
    """Ornstein-Uhlenbeck noise of standard deviation `size` and correlation time `memory` (in points): [points, F]."""
    keep = np.exp(-1 / memory)
    out = rng.standard_normal((points, len(size)))
    out[1:] *= np.sqrt(1 - keep**2)
    return _leaky_sum(out, keep) * size


def _leaky_sum(values: Doubles, keep: Doubles) -> Doubles:
    """out[t] = values[t] + keep * out[t - 1], in place."""
    for t in range(1, len(values)):
        values[t] += keep * values[t - 1]
    return values


def _jumps(rng: Rng, count: int, points: int, config: DemandConfig) -> Doubles:
    """Level shifts out of nowhere that are forgotten slowly: capacity moves, failovers, deployments."""
    rate = some(rng, config.jumps, 5 / log_uniform(rng, (120, 4000), count))
    size = log_uniform(rng, (0.01, 0.3), count)
    hit = rng.random((points, count)) < rate
    forget = np.exp(-5 / log_uniform(rng, (60, 5000), count))
    return _leaky_sum(np.where(hit, rng.standard_normal((points, count)) * size, 0.0), forget)


def _measurement(rng: Rng, fleets: DrawnFleets, minutes: int, config: DemandConfig) -> Floats:
    """Log noise of what is measured, not of who plays: fast wandering, white noise, spikes, scheduled jobs. [T, F]."""
    count = len(fleets)
    size = some(rng, 0.35, log_uniform(rng, config.fast_noise, count))
    noise = ornstein(rng, size, log_uniform(rng, (2, 25), count), minutes)
    white = some(rng, 0.3, log_uniform(rng, config.measurement_noise, count))
    noise += rng.standard_normal((minutes, count)) * white
    rate = some(rng, config.spikes, 1 / log_uniform(rng, (20, 2000), count))
    hit = rng.random((minutes, count)) < rate
    spike = np.where(hit, rng.exponential(1, (minutes, count)) * log_uniform(rng, (0.02, 0.5), count), 0.0)
    noise += _leaky_sum(spike, np.exp(-1 / log_uniform(rng, (0.3, 10), count)))
    noise += _jobs(rng, count, minutes, config)
    return (noise * fleets.noise).astype(np.float32)


def _jobs(rng: Rng, count: int, minutes: int, config: DemandConfig) -> Doubles:
    """Work that starts by the clock, every quarter of an hour to every day, and takes a few minutes. [T, F]."""
    period = rng.choice([15, 30, 60, 120, 180, 360, 720, 1440], count)
    height = some(rng, config.jobs, log_uniform(rng, (0.02, 0.6), count))
    width = np.minimum(log_uniform(rng, (3, 60), count), period * 0.6)
    turn, minute = np.divmod(np.arange(minutes)[:, None] + rng.integers(0, 1440, count), period)
    late = rng.exponential(1, count) * rng.random((61, count))  # each turn starts a little late, and differs in size
    size = np.exp(rng.normal(0, 1, (61, count)) * log_uniform(rng, (0.02, 0.5), count))
    fleet = np.arange(count)
    since = minute - late[turn % 61, fleet]
    return np.where((since >= 0) & (since < width), height * size[turn % 61, fleet], 0.0)


# --- events ---------------------------------------------------------------------------------------------------


def _add_events(rng: Rng, arrivals: Floats, lost: Floats, fleets: DrawnFleets, config: DemandConfig) -> None:
    """Write events into the log arrival rate and the share of sessions lost a minute, both [T, F]."""
    adders: list[tuple[float, Callable[[Rng, Floats, Floats, float], None]]] = [
        (config.maintenance, _maintenance),
        (config.outages, _outages),
        (config.crowds, _crowds),
        (config.launches, _launches),
    ]
    for fleet in range(len(fleets)):
        session = float(fleets.mean_session[fleet])
        for share, add in adders:
            if rng.random() < share:
                add(rng, arrivals[:, fleet], lost[:, fleet], session)


def _maintenance(rng: Rng, arrivals: Floats, lost: Floats, session: float) -> None:
    """The same time every week (or day): sessions end, arrivals stop for a while, and everyone comes back."""
    period = DAY if rng.random() < 0.15 else WEEK
    depth, down, back = rng.uniform(0.1, 1), rng.choice([0, 1, rng.uniform(5, 90)]), rng.uniform(5, 60)
    jitter = rng.choice([0.0, 2.0, 20.0])
    for start in range(int(rng.integers(0, period)), len(arrivals), period):
        shut = start + int(rng.normal(0, 1) * jitter)
        vary = rng.uniform(0.8, 1.2, 3)
        interrupt(arrivals, lost, session, (shut, min(depth * vary[0], 1), down * vary[1], back * vary[2]))


def _outages(rng: Rng, arrivals: Floats, lost: Floats, session: float) -> None:
    """Failures without a timetable."""
    for start in _poisson_times(rng, len(arrivals), log_uniform(rng, (0.7 * DAY, 15 * DAY), 1)[0]):
        down = float(log_uniform(rng, (1, 240), 1)[0])
        interrupt(arrivals, lost, session, (start, rng.uniform(0.1, 1), down, rng.uniform(3, 90)))


def interrupt(arrivals: Floats, lost: Floats, session: float, event: tuple[int, float, float, float]) -> None:
    """Sessions end within minutes; arrivals fall for `down` minutes, then those who were thrown out return.

    `event`: start, depth (share of players), minutes down, minutes in which they come back.
    """
    start, depth, down, back = event
    start = max(start, 0)
    fall = 1 + int(down // 10)
    end = start + fall + int(down)
    lost[start : start + fall] = 1 - (1 - min(depth, 0.99)) ** (1 / fall)
    arrivals[start:end] += np.float32(np.log(1.02 - depth))
    since = _minutes_since(arrivals, end, 10 * back)
    # Who was lost returns: depth * playing over `back` minutes, beside the usual playing / session a minute.
    arrivals[end : end + len(since)] += np.log1p(np.float32(depth * session / back) * np.exp(-since / np.float32(back)))


def _crowds(rng: Rng, arrivals: Floats, lost: Floats, session: float) -> None:
    """Flash crowds: a match, a streamer, a broadcast; by the clock or out of nowhere."""
    del lost, session
    every = float(log_uniform(rng, (0.25 * DAY, 6 * DAY), 1)[0])
    starts = _poisson_times(rng, len(arrivals), every)
    if rng.random() < 0.5:  # at the same minutes of the day
        hours = rng.integers(0, DAY, rng.integers(1, 4))
        starts = [int(h) + d for d in range(0, len(arrivals), DAY) for h in hours if rng.random() < DAY / every]
    height = float(log_uniform(rng, (0.05, 1.2), 1)[0])
    rise, hold, fade = (float(log_uniform(rng, b, 1)[0]) for b in ((3, 90), (5, 200), (5, 180)))
    for start in starts:
        size = height * rng.lognormal(0, 0.4)
        since = _minutes_since(arrivals, start, rise + hold + 8 * fade)
        pulse = np.minimum(since / np.float32(rise), 1) * np.exp(-np.maximum(since - rise - hold, 0) / np.float32(fade))
        arrivals[start : start + len(since)] += np.float32(min(size, 1.8)) * pulse


def _launches(rng: Rng, arrivals: Floats, lost: Floats, session: float) -> None:
    """Launches, sales and updates: a step up within the hour that fades over days."""
    del lost, session
    for start in _poisson_times(rng, len(arrivals), 8 * DAY):
        height, rise, fade = rng.uniform(0.1, 1.3), rng.uniform(5, 180), rng.uniform(0.5, 6) * DAY
        since = _minutes_since(arrivals, start, 10 * fade)
        arrivals[start : start + len(since)] += (
            np.float32(height) * (1 - np.exp(-since / np.float32(rise))) * np.exp(-since / np.float32(fade))
        )


def _minutes_since(arrivals: Floats, start: int, length: float) -> Floats:
    """0, 1, 2, ... minutes since an event, until it is over or the series ends."""
    return np.arange(max(min(int(length) + 1, len(arrivals) - start), 0), dtype=np.float32)


def _poisson_times(rng: Rng, minutes: int, every: float) -> list[int]:
    return [int(t) for t in rng.uniform(0, minutes, rng.poisson(minutes / every))]


# --- sessions -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Flow:
    """How sessions come and go, minute by minute, in F fleets: see Fleets."""

    rate: Floats  # [T, F] arrivals a minute
    lost: Floats  # [T, F] share of the sessions that is cut off
    leave: Doubles  # [F] probability to leave the first stage within a minute
    share: Doubles  # [F] probability of a second stage
    leave_second: Doubles  # [F]
    first: Doubles  # [F] sessions at the start, in the first stage
    second: Doubles

    def of(self, chosen: npt.NDArray[np.bool_]) -> "_Flow":
        """The chosen fleets."""
        return _Flow(*(getattr(self, one.name)[..., chosen] for one in fields(self)))


def _sessions(rng: Rng, fleets: DrawnFleets, arrivals: Floats, lost: Floats) -> Floats:
    """Who plays at each minute, [T, F] players: arrivals join, play a first stage, perhaps a second, and leave."""
    usual = fleets.servers * fleets.players / fleets.mean_session
    rate = (np.exp(np.minimum(arrivals, 4)) * usual).astype(np.float32)
    leave_second = 1 - np.exp(-1 / np.maximum(fleets.second_session, 1))
    second = np.rint(rate[0] * fleets.second_stage * fleets.second_session)
    first = np.rint(rate[0] * fleets.session)
    flow = _Flow(rate, lost, 1 - np.exp(-1 / fleets.session), fleets.second_stage, leave_second, first, second)
    out = np.empty_like(arrivals)
    many = usual >= _MANY
    for chosen, count in ((many, _count_many), (~many, _count_few)):
        if chosen.any():
            out[:, chosen] = count(rng, flow.of(chosen))
    return out


_MANY = 50  # arrivals a minute from which on the normal distribution is as good as Poisson's, and ten times as fast


def _count_few(rng: Rng, flow: _Flow) -> Floats:
    """Sessions at each minute [T, F], counted one by one."""
    first, second = flow.first.astype(np.int64), flow.second.astype(np.int64)
    cut = np.asarray(flow.lost.any(axis=1))
    out = np.empty_like(flow.rate)
    for minute, rate in enumerate(flow.rate):
        done = rng.binomial(first, flow.leave)
        moved = rng.binomial(done, flow.share)
        first += rng.poisson(rate) - done
        second += moved - rng.binomial(second, flow.leave_second)
        if cut[minute]:
            first -= rng.binomial(first, flow.lost[minute])
            second -= rng.binomial(second, flow.lost[minute])
        out[minute] = first + second
    return out


def _count_many(rng: Rng, flow: _Flow) -> Floats:
    """Sessions at each minute [T, F] where there are many: means, and normal noise of the right size."""
    first, second = flow.first.copy(), flow.second.copy()
    cut = np.asarray(flow.lost.any(axis=1))
    spread, spread_second = np.sqrt(flow.leave * (1 - flow.leave)), np.sqrt(flow.leave_second * (1 - flow.leave_second))
    spread_share = np.sqrt(flow.share * (1 - flow.share))
    out = np.empty_like(flow.rate)
    for minute, rate in enumerate(flow.rate):
        come, go, move, end = rng.standard_normal((4, len(first)))
        done = np.maximum(first * flow.leave + np.sqrt(first) * spread * go, 0)
        moved = np.maximum(done * flow.share + np.sqrt(done) * spread_share * move, 0)
        first = np.maximum(first + rate + np.sqrt(rate) * come - done, 0)
        second = second + moved - second * flow.leave_second - np.sqrt(second) * spread_second * end
        second = np.maximum(second, 0)
        if cut[minute]:
            first *= 1 - flow.lost[minute]
            second *= 1 - flow.lost[minute]
        out[minute] = first + second
    return out
