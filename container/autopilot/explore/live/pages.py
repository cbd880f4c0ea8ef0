"""The live page and what it asks for. Whom it follows stands on the command line alone: no page, and so nobody whom a
page could be made to ask for, chooses an address that this machine then asks.
"""  # fmt: skip

import json
from dataclasses import asdict
from typing import Any

from flask import Flask, Response, render_template, request
from werkzeug.exceptions import BadGateway, NotFound

from autopilot.backtest.words import GLOSSARY, MEANING
from autopilot.core.history import rfc3339
from autopilot.explore.live.course_figure import course_figure
from autopilot.explore.live.follower import Followed, Follower
from autopilot.explore.live.sight import FollowError

WORDS = {
    "state": "what is wrong, or special: nothing where every answer is fresh",
    "in use": "servers with players on them now, which are never taken away",
    "forecast": "servers that the coming lead needs",
    "size": "servers that the cluster is set to; of an endpoint, the size that a client makes of its answer",
}
_SHARED = ("demand", "lead", "outage hold")


def add_live_pages(app: Flask, follower: Follower | None) -> None:
    """Add the live page; without a follower it says how to follow somebody."""

    @app.get("/live")
    def live() -> str:
        words = WORDS | {word: GLOSSARY[word] for word in _SHARED}
        reasons = {str(reason).replace("_", " "): meaning for reason, meaning in MEANING.items()}
        address = follower.address.shown if follower else ""
        return render_template("live.html", address=address, words=words, reasons=reasons)

    @app.get("/live/state")
    def state() -> Response:
        return _json(_state(_followed(follower).follow()))

    @app.get("/live/course")
    def course() -> Response:
        width = request.args.get("width", 800, type=int)
        try:
            read = _followed(follower).course(request.args.get("fleet", "")[:200])
        except FollowError as error:
            raise BadGateway(str(error)) from error
        return _json(course_figure(read, width))


def _followed(follower: Follower | None) -> Follower:
    if follower is None:
        raise NotFound("nobody is followed: start `autopilot explore --follow URL`")
    return follower


def _json(value: object) -> Response:
    return Response(json.dumps(value), mimetype="application/json")


def _state(now: Followed) -> dict[str, Any]:
    sight = now.sight
    return {
        "about": sight.about if sight else "",
        "seen": rfc3339(now.seen_at) if sight else "",
        "trouble": now.trouble,
        "since": rfc3339(now.since) if now.trouble else "",
        "fleets": [asdict(one) for one in sight.fleets] if sight else [],
        "left_out": sight.left_out if sight else 0,
    }
