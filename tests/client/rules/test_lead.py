"""The lead time: given in several ways, or measured from servers that were seen booting."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autopilot_client.rules.lead import Boot, BootTimes, Lead, parse_lead, watch

T0 = 1_790_000_000.0


@pytest.mark.parametrize(
    ("given", "lead"),
    [
        (12, Lead(12, 12)),
        (12.5, Lead(12.5, 12.5)),
        ("10-15", Lead(10, 15)),
        ((10.0, 15.0), Lead(10, 15)),
        ("60", Lead(60, 60)),
    ],
)
def test_a_lead_is_a_number_or_a_range(given, lead):
    assert parse_lead(given) == lead


@pytest.mark.parametrize("wrong", [0, -5, 61, "15-10", (15.0, 10.0), "soon", "10-", "nan", "inf", 1440])
def test_what_is_no_lead_is_refused_in_words(wrong):
    with pytest.raises(ValueError, match="minutes such as 12"):
        parse_lead(wrong)


def boots(*minutes: float, seen_first: bool = True) -> BootTimes:
    """A fleet whose servers took so long each, looked at every minute."""
    times = BootTimes()
    for minute in range(0 if seen_first else 1 + int(max(minutes)), 2 + int(max(minutes))):
        now = T0 + 60 * minute
        servers = [
            Boot(f"s{i}", T0, T0 + 60 * took if 60 * took <= now - T0 else None) for i, took in enumerate(minutes)
        ]
        times = watch(times, servers, now)
    return times


def test_median_and_nine_tenths_of_the_boot_times_in_whole_minutes():
    assert boots(*range(1, 11)).measured() == Lead(5, 9)
    assert boots(10.2, 10.4, 10.6, 11, 30).measured() == Lead(11, 30)


def test_a_few_servers_are_no_measure():
    assert boots(10, 11, 12, 13).measured() is None


def test_what_takes_very_long_or_no_time_is_bounded():
    assert boots(*[0.1] * 5).measured() == Lead(1, 1)
    assert boots(*[300.0] * 5).measured() == Lead(60, 60)


def test_servers_that_were_ready_at_the_first_look_say_nothing():
    assert boots(*range(1, 11), seen_first=False).measured() is None


def test_a_server_that_is_unready_again_does_not_boot():
    times = BootTimes()
    for ready in (T0 + 60, None, T0 + 7200):
        times = watch(times, [Boot("s", T0, ready)], T0 + 7200)
    assert times.minutes == ()


def test_a_client_that_has_just_started_does_not_take_an_old_unready_server_for_one_that_boots():
    times = watch(BootTimes(), [Boot("s", T0 - 86400, None)], T0)
    assert watch(times, [Boot("s", T0 - 86400, T0 + 60)], T0 + 60).minutes == ()


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(-100, 5000), st.booleans()), max_size=60))
def test_memory_is_bounded_and_a_measure_too(looks):
    times = BootTimes()
    for i, (name, created, ready) in enumerate(looks):
        times = watch(times, [Boot(f"s{name}", T0 + created, T0 + 60 * i if ready else None)], T0 + 60 * i)
        assert len(times.waiting | times.settled) <= 1
    found = times.measured()
    assert found is None or 1 <= found.shortest <= found.longest <= 60
