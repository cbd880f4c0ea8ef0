from autopilot.history.breaker import Breaker


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def broken(clock: Clock) -> Breaker:
    breaker = Breaker(failures=3, rest_seconds=5, clock=clock)
    for _ in range(3):
        breaker.failed()
    return breaker


def test_it_lets_calls_through_until_enough_failed_in_a_row() -> None:
    breaker = Breaker(failures=3, clock=Clock())
    for report in (breaker.failed, breaker.failed, breaker.succeeded, breaker.failed, breaker.failed):
        report()
        assert breaker.allows()
    breaker.failed()
    assert not breaker.allows()


def test_after_the_rest_exactly_one_probe_is_let_through() -> None:
    clock = Clock()
    breaker = broken(clock)
    clock.now += 4.9
    assert not breaker.allows()
    clock.now += 0.2
    assert [breaker.allows() for _ in range(3)] == [True, False, False]


def test_a_probe_that_works_closes_it() -> None:
    clock = Clock()
    breaker = broken(clock)
    clock.now += 5
    assert breaker.allows()
    breaker.succeeded()
    assert breaker.healthy
    assert [breaker.allows() for _ in range(3)] == [True] * 3


def test_a_probe_that_fails_means_another_rest() -> None:
    clock = Clock()
    breaker = broken(clock)
    clock.now += 5
    assert breaker.allows()
    breaker.failed()
    clock.now += 4.9
    assert not breaker.allows()


def test_a_probe_that_never_reports_does_not_close_it_for_ever() -> None:
    clock = Clock()
    breaker = broken(clock)
    clock.now += 5
    assert breaker.allows()
    clock.now += 5
    assert breaker.allows()
