"""Demand from a URL: read in time and in bounds, or unknown; never made up."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from autopilot.demand.http import HttpDemand, _UnusableError

FIELD = "Prediction.num_of_gameservers"


@contextmanager
def source(answer: bytes, status: int = 200, drip: float = 0.0) -> Iterator[tuple[str, list[str]]]:
    """A server on loopback that answers every GET alike; byte by byte where `drip` seconds lie between."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            pieces = [answer[i : i + 1] for i in range(len(answer))] if drip else [answer]
            for piece in pieces:
                try:
                    self.wfile.write(piece)
                except OSError:
                    return
                time.sleep(drip)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/demand?fleet={{fleet}}", asked
        server.shutdown()


def test_the_number_is_read_at_its_path_for_the_fleet_that_was_asked_for():
    with source(b'{"Prediction": {"num_of_gameservers": 86.5}}') as (url, asked):
        assert HttpDemand(url, FIELD, 30).demand(["us-west-2/shooter"]) == [86.5]
    assert asked == ["/demand?fleet=us-west-2%2Fshooter"]


def test_a_number_in_a_string_counts_as_the_original_wrote_it():
    with source(b'{"Prediction": {"num_of_gameservers": "86"}}') as (url, _):
        assert HttpDemand(url, FIELD, 30).demand(["f"]) == [86.0]


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"<html>sorry</html>", 200),
        (b"", 200),
        (b'{"Prediction": {}}', 200),
        (b'{"Prediction": 5}', 200),
        (b'{"Prediction": {"num_of_gameservers": null}}', 200),
        (b'{"Prediction": {"num_of_gameservers": true}}', 200),
        (b'{"Prediction": {"num_of_gameservers": "NaN"}}', 200),
        (b'{"Prediction": {"num_of_gameservers": -1}}', 200),
        (b'{"Prediction": {"num_of_gameservers": 1e12}}', 200),
        (b'{"Prediction": {"num_of_gameservers": 86}}', 500),
        (b"[" * 100_000, 200),
        (b'{"x": "' + b"y" * 1_100_000 + b'"}', 200),
    ],
)
def test_what_is_no_number_of_servers_is_unknown(answer, status):
    with source(answer, status) as (url, _):
        assert HttpDemand(url, FIELD, 30).demand(["f"]) == [None]


def test_a_source_that_is_not_there_is_unknown():
    assert HttpDemand("http://127.0.0.1:1/{fleet}", FIELD, 1).demand(["f", "g"]) == [None, None]


class Tired(HttpDemand):
    """Has time for five fleets in each call."""

    left = 0

    def demand(self, fleets: Sequence[str]) -> list[float | None]:
        self.left = 5
        return super().demand(fleets)

    def _read(self, fleet: str, deadline: float) -> float:
        with LOCK:
            self.left -= 1
            if self.left < 0:
                raise _UnusableError("no time left")
            return 86.0


LOCK = threading.Lock()


def test_where_time_is_too_short_for_all_fleets_each_has_its_turn():
    demand = Tired("http://127.0.0.1:1/{fleet}", FIELD, 60)
    answers = [demand.demand([f"f{n}" for n in range(100)]) for _ in range(10)]
    known = [{at for at, one in enumerate(answer) if one is not None} for answer in answers]
    assert [len(one) for one in known] == [5] * 10
    assert max(known[0]) < 5 + 16  # as many threads may overtake each other
    assert min(known[9]) >= 9 * 5


def test_a_source_that_drips_is_given_up_within_the_budget_for_all_fleets_together():
    with source(b'{"Prediction": {"num_of_gameservers": 86}}', drip=1.0) as (url, _):
        started = time.monotonic()
        assert HttpDemand(url, FIELD, 0.5).demand([f"f{n}" for n in range(40)]) == [None] * 40
        assert time.monotonic() - started < 15  # one after the other they would take half an hour
