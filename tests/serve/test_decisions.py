"""The fast route beside Flask's: the same answers, to the last byte, alone and in batches; and what it bounds."""

import asyncio
import json
import random
import socket
import threading

import pytest

from autopilot.history.cache import RecentHistory
from autopilot.history.none import NoHistory
from autopilot.ports import ModelError
from autopilot.serve.app import create_app
from autopilot.serve.connection import NginxConnection, Shared
from autopilot.serve.decisions import DecisionApp
from autopilot.serve.memory import LARGEST_BODY, MOST_VALUES, PendingBodies
from autopilot.service import Autopilot, DecisionConfig
from autopilot.settings import Settings
from testkit.fakes import FakeDemand, FakeHistory, FakePolicy

NOW = 1_763_632_800.0
JSON = {"content-type": "application/json"}
LARGE = json.dumps({"instances": [{"fleet": f"f{n}", "demand": n} for n in range(1000)]}).encode()

GONE, NO_MORE = b"gone", b"no more"  # in place of a piece of a body: its sender has left, or is silent from now on

REQUESTS = {
    "one fleet": (b'{"fleet": "f", "demand": 86}', {}),
    "another type": (b"f,10\ng,x\n", {"content-type": "text/csv"}),
    "CSV for JSON": (b'{"instances": [{"fleet": "f", "demand": 8}, {"fleet": "g"}]}', {"accept": "text/csv"}),
    "a vector": (b"[1, 2, 3, 4, 5]", {}),
    "a vector too short": (b"[1, 2]", {}),
    "no JSON": (b"{", {}),
    "no body": (b"", {}),
    "no such type": (b"{}", {"content-type": "application/xml"}),
    "no such answer": (b'{"fleet": "f", "demand": 1}', {"accept": "image/png"}),
    "compressed": (b"{}", {"content-encoding": "gzip"}),
    "a clock astray": (b'{"fleet": "f", "demand": 1, "observed_at": 1}', {}),
    "a review": (b'{"request": {"uid": "1", "name": "a", "namespace": "b", "status": {"replicas": 3}}}', {}),
    "many fleets": (LARGE, {}),
    "too many values": (b"[" + b"0," * MOST_VALUES + b"0]", {}),
    "headers to echo": (
        b'{"fleet": "f", "demand": 1}',
        {"x-amzn-sagemaker-custom-attributes": "a=1", "x-amzn-sagemaker-x": "\x7f", "x-other": "b"},
    ),
}


def application(policy=None, demand=None, **environ):
    environ |= {"GS_INVENTORY_URL": "http://localhost/x"} if demand else {}
    off = environ.get("AUTOPILOT_HISTORY") == "off"
    history = RecentHistory(NoHistory() if off else FakeHistory(), off=off)
    parts = (policy or FakePolicy(), history, DecisionConfig(), demand, lambda: NOW)
    return create_app(Settings.from_env(environ), Autopilot(*parts))


class Fast:
    """The fast route with the room that its connections share; asked again, it is on another event loop."""

    def __init__(self, app, **shared):
        self.decisions = DecisionApp(app.extensions["invocations"], threads=2)
        self.shared = Shared(**shared)


class Caller:
    """A connection with one request, whose body may come in pieces or not to its end, and its answer."""

    def __init__(self, body, headers, pieces=None, announced=True):
        length = {"content-length": str(len(body))} if announced else {"transfer-encoding": "chunked"}
        self.headers = JSON | length | headers
        self.pieces = [body] if pieces is None else pieces
        self.announced = announced
        self.status, self.answer, self.body = 0, {}, b""

    async def connect(self, fast):
        ours, theirs = socket.socketpair()
        self.reader, self.writer = await asyncio.open_connection(sock=ours)
        loop = asyncio.get_running_loop()
        await loop.connect_accepted_socket(lambda: NginxConnection(fast.decisions, fast.shared), theirs)

    def send(self):
        lines = [f"{name}: {value}\r\n" for name, value in self.headers.items()]
        self.writer.write(f"POST /invocations HTTP/1.1\r\n{''.join(lines)}\r\n".encode("latin-1"))
        for piece in self.pieces:
            if piece in (GONE, NO_MORE):
                break
            self.writer.write(piece if self.announced else b"%x\r\n%b\r\n" % (len(piece), piece))
        else:
            self.writer.write(b"" if self.announced else b"0\r\n\r\n")

    async def receive(self):
        if GONE not in self.pieces:
            status, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
            self.status = int(status.split()[1])
            self.answer = dict(line.split(": ", 1) for line in lines)
            self.body = await self.reader.readexactly(int(self.answer["content-length"]))
        self.writer.close()
        await self.writer.wait_closed()

    @property
    def result(self):
        return self.status, dict(sorted(self.answer.items())), self.body

    @property
    def code(self):
        return json.loads(self.body)["error"]["code"]


def asked(app, *requests):
    """The results of requests that arrive at the same moment."""

    async def ask():
        fast = app if isinstance(app, Fast) else Fast(app)
        callers = [one if isinstance(one, Caller) else Caller(*one) for one in requests]
        for one in callers:
            await one.connect(fast)
        for one in callers:
            one.send()
        await asyncio.gather(*(one.receive() for one in callers))
        while fast.shared.connected:
            await asyncio.sleep(0)
        return callers

    return asyncio.run(ask())


def by_flask(app, body, headers):
    answer = app.test_client().post("/invocations", data=body, headers=JSON | headers)
    return answer.status_code, dict(sorted((k.lower(), v) for k, v in answer.headers.items())), answer.data


@pytest.mark.parametrize("name", REQUESTS)
def test_both_routes_give_the_same_answer(name):
    (fast,) = asked(application(), REQUESTS[name])
    assert fast.result == by_flask(application(), *REQUESTS[name])


def test_in_a_batch_each_gets_what_it_would_get_alone():
    callers = asked(application(), *REQUESTS.values())
    assert [one.result for one in callers] == [by_flask(application(), *request) for request in REQUESTS.values()]


def test_a_hundred_fleets_at_once_are_decided_and_remembered_as_one_after_another():
    bodies = [json.dumps({"fleet": f"f{number % 7}", "demand": number}).encode() for number in range(100)]
    alone = application()
    expected = [json.loads(by_flask(alone, body, {})[2])["Prediction"]["num_of_gameservers"] for body in bodies]
    callers = asked(application(), *((body, {}) for body in bodies))
    assert [json.loads(one.body)["Prediction"]["num_of_gameservers"] for one in callers] == expected


VALUES = [5, 80.0, 0, -1, "5", None, 2.0000000000000004, 1e308, True, [], 10**12]
KINDS = ["application/json", "application/jsonlines", "text/csv", "text/csv; header=present", "x"]
ACCEPTS = ["", "*/*", "text/csv", "application/json;q=0.1, text/csv", "image/png"]


def drawn(draw):
    """A request out of what callers send and mistake."""
    value = draw.choice(VALUES)
    fleet = {
        draw.choice(["fleet", "flet"]): draw.choice(["f", "g/h", "", "é", "a\n"]),
        "demand": value,
        draw.choice(["queue", "sessions", "replicas", "history", "limits"]): draw.choice([0, 3, [], {}, "x"]),
    }
    one = json.dumps(fleet)
    many = json.dumps({"instances": [fleet, {"fleet": "x", "demand": 4}]})
    body = draw.choice([one, many, json.dumps([1, 2, 3, value]), f"f,{value}\n", one + "\n" + one, "\ufeff" + one, ""])
    return body.encode()[: draw.choice([None, None, None, 9])], {
        "content-type": draw.choice(KINDS),
        "accept": draw.choice(ACCEPTS),
    }


def test_drawn_requests_in_batches_differ_nowhere_from_flask_one_by_one():
    draw = random.Random(7)
    fast, slow = application(AUTOPILOT_HISTORY="off"), application(AUTOPILOT_HISTORY="off")
    for _ in range(60):
        requests = [drawn(draw) for _ in range(draw.randint(1, 40))]
        results = [one.result for one in asked(fast, *requests)]
        assert results == [by_flask(slow, *request) for request in requests]


class VectorsOnly(FakePolicy):
    def predict(self, windows, lead, missing_price):
        raise ModelError("environment service")


def test_with_a_model_for_something_else_vectors_are_answered_and_fleets_are_not():
    bodies = [b'{"fleet": "f", "demand": 1}', b"[1, 2, 3, 4, 5]", b'{"fleet": "g", "demand": 1}']
    callers = asked(application(policy=VectorsOnly()), *((body, {}) for body in bodies))
    assert [one.status for one in callers] == [400, 200, 400]


class Threads(FakePolicy):
    """Notes on which threads it was asked."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def predict(self, windows, lead, missing_price):
        self.seen.add(threading.current_thread().name.partition("_")[0])
        return super().predict(windows, lead, missing_price)


@pytest.mark.parametrize(
    ("body", "parts", "thread"),
    [
        (b'{"fleet": "f", "demand": 1}', {}, "MainThread"),
        (LARGE, {}, "decisions"),
        (b'{"fleet": "f", "demand": 1}', {"AUTOPILOT_HISTORY": "dynamodb://observations"}, "decisions"),
        (b'{"fleet": "f", "demand": 1}', {"demand": FakeDemand({})}, "decisions"),
    ],
    ids=["small", "large", "a store far away", "a demand source"],
)
def test_nobody_waits_behind_a_large_request_or_behind_anothers_time_out(body, parts, thread):
    policy = Threads()
    asked(application(policy, **parts), (body, {}))
    assert policy.seen == {thread}


class Defect(FakePolicy):
    def predict(self, windows, lead, missing_price):
        raise RuntimeError("a defect")


def test_a_defect_is_logged_and_answered_in_json_on_both_routes(caplog):
    request = (b'{"fleet": "f", "demand": 1}', {})
    (fast,) = asked(application(policy=Defect()), request)
    assert fast.result == by_flask(application(policy=Defect()), *request)
    assert (fast.status, fast.code) == (500, "internal_server_error")
    assert "a defect" in caplog.text


class DefectOfOne(FakePolicy):
    def predict(self, windows, lead, missing_price):
        if 13.0 in windows.demand[:, -1]:
            raise RuntimeError("a defect")
        return super().predict(windows, lead, missing_price)


def test_a_defect_costs_the_request_that_met_it_and_no_other_of_its_batch(caplog):
    bodies = [json.dumps({"fleet": f"f{n}", "demand": n}).encode() for n in (12, 13, 14)]
    callers = asked(application(policy=DefectOfOne()), *((body, {}) for body in bodies))
    assert [one.status for one in callers] == [200, 500, 200]


# What is bounded


def unending(size=LARGEST_BODY):
    return Caller(b" " * size, {}, [b" " * 1000, NO_MORE])


def test_a_body_that_comes_in_pieces_is_whole_with_and_without_its_length():
    pieces = [LARGE[:5], LARGE[5:30_000], LARGE[30_000:]]
    callers = asked(application(), Caller(LARGE, {}, pieces), Caller(LARGE, {}, pieces, announced=False))
    assert [len(json.loads(one.body)["predictions"]) for one in callers] == [1000, 1000]


def test_slow_senders_of_large_bodies_are_bounded_and_small_requests_are_answered():
    fast = Fast(application(), body_seconds=0.3)
    callers = asked(fast, *(unending() for _ in range(40)), *(REQUESTS["one fleet"] for _ in range(5)), (LARGE, {}))
    assert [one.status for one in callers[40:]] == [200] * 6
    assert sorted((one.status, one.code) for one in callers[:40]) == [(408, "request_timeout"), *[(503, "busy")] * 39]


def test_room_is_given_back_by_what_was_answered_refused_late_or_left():
    fast = Fast(application(), pending=PendingBodies(2_000_000), body_seconds=0.01)
    for _ in range(5):
        asked(fast, unending(900_000), Caller(b"", {"content-length": "900000"}, [b"{", GONE]), (LARGE, {}))
    (one,) = asked(fast, (LARGE, {}))
    assert one.status == 200


def test_a_body_of_unknown_length_takes_room_as_it_grows():
    fast = Fast(application(), pending=PendingBodies(100_000))
    pieces = [b" " * 40_000, b" " * 40_000, b" " * 40_000]
    (one,) = asked(fast, Caller(b"", {}, pieces, announced=False))
    assert (one.status, one.code) == (503, "busy")


def test_a_body_beyond_the_bound_is_refused_before_it_is_read():
    (one,) = asked(application(), Caller(b"", {"content-length": str(LARGEST_BODY + 1)}, [NO_MORE]))
    assert (one.status, one.code) == (413, "request_entity_too_large")


def test_who_leaves_in_the_middle_gets_nothing():
    (one,) = asked(application(), Caller(LARGE, {}, [LARGE[:100], GONE]))
    assert (one.status, one.body) == (0, b"")
