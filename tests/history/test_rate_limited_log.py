"""A reason is in the log, and an outage does not fill it."""

import logging

import pytest

from autopilot.history.rate_limited_log import RateLimitedLog


def test_the_same_complaint_is_logged_once_a_minute_and_another_at_once(caplog: pytest.LogCaptureFixture) -> None:
    times = iter([0.0, 1.0, 30.0, 31.0, 59.0, 59.5, 60.0, 61.0, 62.0, 63.0])
    limited = RateLimitedLog(logging.getLogger("test"), lambda: next(times))
    for _ in range(5):
        limited.add("no route")
        limited.add("100 %")
    assert [one.getMessage() for one in caplog.records] == ["no route", "100 %"] * 2
