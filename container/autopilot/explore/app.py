"""The page's HTTP edge: one page, its pictures and tables as JSON, downloads, and uploads. For this machine alone."""

import json
from importlib.resources import files as resources
from pathlib import Path

from flask import Flask, Response, render_template, request, send_file
from werkzeug.exceptions import Forbidden, HTTPException, RequestEntityTooLarge

from autopilot.backtest.replay import ReplayConfig
from autopilot.backtest.words import GLOSSARY
from autopilot.core.cost import CHEAPEST_MISSING, DEAREST_MISSING
from autopilot.core.fleet import LONGEST_LEAD
from autopilot.explore.answer import answer
from autopilot.explore.downloads import client_yaml, settings_env, sizes_csv
from autopilot.explore.figures import figure
from autopilot.explore.files import LARGEST_UPLOAD, FileRefusedError, open_upload
from autopilot.explore.live.follower import Follower
from autopilot.explore.live.pages import add_live_pages
from autopilot.explore.play import Played, check_playable
from autopilot.explore.question import BASELINES, STRETCHES, PlayRequest, QuestionError, question_of, view_of
from autopilot.explore.report import report_of
from autopilot.explore.session import ForgottenError, OvertakenError, Session

_HERE = Path(__file__).parent
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
"""Plotly writes styles into the page; nothing is ever fetched from elsewhere."""
_FORGOTTEN = (
    "this page's file is not here any more: the server was started again, or others dropped many files since. Drop it "
    "once more, or take the sample"
)


def create_app(session: Session, default: PlayRequest, first: str, follower: Follower | None = None) -> Flask:
    """The page's server, and the live page's.

    default   what the controls show at first
    first     the key of the file that is shown
    follower  who is followed; None: nobody
    """
    app = Flask(__name__, template_folder=str(_HERE / "templates"), static_folder=str(_HERE / "static"))
    app.config.update(MAX_CONTENT_LENGTH=LARGEST_UPLOAD, TRUSTED_HOSTS=["localhost", "127.0.0.1", "[::1]", "::1"])
    app.jinja_options = {"trim_blocks": True, "lstrip_blocks": True}
    _errors(app)
    _pages(app, session, default, first)
    _downloads(app, session, default)
    add_live_pages(app, follower)

    @app.before_request
    def only_from_here() -> None:
        """A page of another site may not ask in somebody's name."""
        if request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
            raise Forbidden("asked by another site")

    @app.after_request
    def safely(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = _POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        if not request.path.startswith("/static") and request.path != "/plotly.js":
            response.headers["Cache-Control"] = "no-store"
        return response

    return app


def _errors(app: Flask) -> None:
    @app.errorhandler(QuestionError)
    def bad_question(error: QuestionError) -> tuple[dict[str, str], int]:
        return {"field": error.field, "message": str(error)}, 422

    @app.errorhandler(FileRefusedError)
    def bad_file(error: FileRefusedError) -> tuple[dict[str, str], int]:
        return {"field": "file", "message": str(error)}, 422

    @app.errorhandler(ForgottenError)
    def forgotten(_: ForgottenError) -> tuple[dict[str, str], int]:
        return {"field": "file", "message": _FORGOTTEN}, 404

    @app.errorhandler(OvertakenError)
    def overtaken(_: OvertakenError) -> tuple[dict[str, str], int]:
        return {"field": "", "message": "something newer was asked for"}, 409

    @app.errorhandler(RequestEntityTooLarge)
    def too_large(_: RequestEntityTooLarge) -> tuple[dict[str, str], int]:
        return {"field": "file", "message": f"larger than {LARGEST_UPLOAD >> 20} MB: pack it with gzip, or cut it"}, 413

    @app.errorhandler(HTTPException)
    def refused(error: HTTPException) -> tuple[dict[str, str], int]:
        return {"field": "", "message": error.description or error.name}, error.code or 500


def _pages(app: Flask, session: Session, default: PlayRequest, first: str) -> None:
    @app.get("/")
    def page() -> str:
        return render_template(
            "explore.html", asked=default, policy=session.player.policy.name, first=first, baselines=BASELINES,
            stretches=STRETCHES, glossary=GLOSSARY, megabytes=LARGEST_UPLOAD >> 20,
            least_missing=CHEAPEST_MISSING, most_missing=DEAREST_MISSING, longest_lead=LONGEST_LEAD,
        )  # fmt: skip

    @app.get("/plotly.js")
    def plotly() -> Response:
        library = resources("plotly") / "package_data" / "plotly.min.js"
        return send_file(str(library), "text/javascript", max_age=86_400)

    @app.get("/alive")
    def alive() -> dict[str, bool]:
        return {"alive": True}

    @app.post("/files")
    def upload() -> dict[str, str]:
        given = request.files.get("file")
        if given is None or not given.filename:
            raise FileRefusedError("no file came: choose one, or drop it on the page")
        fleets = open_upload(given.filename, given.stream)
        check_playable(fleets)
        return {"file": session.add(fleets)}

    @app.get("/work")
    def work() -> dict[str, int]:
        return {"done": session.work(request.args.get("tab", "")).done}

    @app.get("/answer")
    def told() -> Response:
        asked, view, file = question_of(request.args, default), view_of(request.args), request.args.get("file", first)
        played = _play(session, asked, file)
        fleets = session.fleets(file)
        said = answer(played, asked.price)
        body = {
            "fleet": played.scenario.fleet,
            "fleets": list(fleets),
            "ran": fleets[played.scenario.fleet].ran is not None,
            "figure": figure(played, view),
            **{name: getattr(said, name) for name in ("verdict", "worst", "span", "worst_words")},
            "tables": render_template("answer.html", said=said),
        }
        return Response(json.dumps(body, allow_nan=False), mimetype="application/json")


def _play(session: Session, asked: PlayRequest, file: str) -> Played:
    tab, turn = request.args.get("tab", "")[:40], request.args.get("turn", "0")
    return session.play(file, request.args.get("fleet", ""), asked, (tab, int(turn) if turn.isdecimal() else 0))


def _downloads(app: Flask, session: Session, default: PlayRequest) -> None:
    def played() -> tuple[Played, PlayRequest]:
        asked = question_of(request.args, default)
        return _play(session, asked, request.args.get("file", "")), asked

    def attached(text: str, kind: str, name: str) -> Response:
        return Response(text, mimetype=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'})

    @app.get("/sizes.csv")
    def sizes() -> Response:
        return attached(sizes_csv(played()[0]), "text/csv", "sizes.csv")

    @app.get("/autopilot.env")
    def environment() -> Response:
        minutes = session.player.rules(default).hold.hold_minutes or 180.0
        return attached(settings_env(played()[1], minutes), "text/plain", "autopilot.env")

    @app.get("/client.yaml")
    def client() -> Response:
        return attached(client_yaml(*played()), "application/yaml", "client.yaml")

    @app.get("/report.html")
    def report() -> Response:
        done, asked = played()
        player = session.player
        config = ReplayConfig(player.policy, asked.lead, asked.missing_price, player.rules(asked), asked.limits)
        return attached(report_of(done, config, asked.price), "text/html", "report.html")
