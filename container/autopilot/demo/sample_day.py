"""The sample days of the demo: a simulated fleet with a matchmaking outage on two nights, and a launch between them.

    python -m autopilot.demo.sample_day > container/autopilot/demo/sample_day.csv

Four days, every five minutes; the last two are the days to look at. Sessions are simulated minute by minute: players
arrive at random, more in the evening than in the morning, and every session is a server. From 01:00 to 03:30 of both
nights the matchmaking system reports a collapse: demand falls from about 86 to 32 and returns at once, because the
players never left (the case of the blog post that this project began with). In between, at 17:00, a launch doubles
arrivals.
"""

import sys
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

START = datetime(2025, 11, 17, tzinfo=UTC)
DAYS = 4
SHOWN_DAYS = 2
STEP_MINUTES = 5
SEED = 86

_MEAN, _SWING, _PEAK_HOUR = 86.0, 26.0, 20.0  # servers, servers, hour of the day
_SESSION_MINUTES = 29.0  # mean of exponential sessions: a median of 20
_LAUNCH_HOUR, _LAUNCH_GROWTH, _LAUNCH_MINUTES = 17.0, 1.0, 100.0  # on the first of the days that are shown
_OUTAGE_HOURS, _OUTAGE_LEVEL = (1.0, 3.5), 32.0


def sample_day(seed: int = SEED) -> list[tuple[datetime, int]]:
    """Time and reported demand, in whole servers, of every five minutes of four days."""
    random = np.random.default_rng(seed)
    sessions = _sessions(random)[::STEP_MINUTES]
    reported = np.where(_in_outage(len(sessions)), random.poisson(_OUTAGE_LEVEL, len(sessions)), sessions)
    return [(START + timedelta(minutes=STEP_MINUTES * i), int(count)) for i, count in enumerate(reported)]


def needed(seed: int = SEED) -> list[int]:
    """The servers that players really needed at the times of `sample_day`, whatever was reported."""
    return [int(count) for count in _sessions(np.random.default_rng(seed))[::STEP_MINUTES]]


def outages() -> list[tuple[datetime, datetime]]:
    """Begin and end of each outage."""
    days = [START + timedelta(days=DAYS - SHOWN_DAYS + night) for night in range(SHOWN_DAYS)]
    begin, end = (timedelta(hours=hours) for hours in _OUTAGE_HOURS)
    return [(day + begin, day + end) for day in days]


def _sessions(random: np.random.Generator) -> npt.NDArray[np.int64]:
    """Live sessions at every minute: arrivals come, and each session ends with the same chance every minute."""
    minutes = np.arange(DAYS * 1440)
    hours = minutes / 60
    level = _MEAN + _SWING * np.cos((hours - _PEAK_HOUR) * 2 * np.pi / 24)
    since_launch = minutes - ((DAYS - SHOWN_DAYS) * 24 + _LAUNCH_HOUR) * 60
    launch = np.where(since_launch >= 0, _LAUNCH_GROWTH * np.exp(-np.maximum(since_launch, 0) / _LAUNCH_MINUTES), 0.0)
    arrivals = random.poisson(level * (1 + launch) / _SESSION_MINUTES)
    alive, out = int(level[0]), []
    for arriving in arrivals:
        alive += int(arriving) - random.binomial(alive, 1 / _SESSION_MINUTES)
        out.append(alive)
    return np.array(out)


def _in_outage(steps: int) -> npt.NDArray[np.bool_]:
    hours = np.arange(steps) * STEP_MINUTES / 60 - (DAYS - SHOWN_DAYS) * 24
    return (hours >= 0) & (hours % 24 >= _OUTAGE_HOURS[0]) & (hours % 24 < _OUTAGE_HOURS[1])


def main() -> None:
    """Write the sample as CSV to standard output."""
    sys.stdout.write("timestamp,demand\n")
    for time, demand in sample_day():
        sys.stdout.write(f"{time:%Y-%m-%dT%H:%M:%SZ},{demand}\n")


if __name__ == "__main__":
    main()
