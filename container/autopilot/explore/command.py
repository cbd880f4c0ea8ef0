"""`autopilot explore`: the page in the browser, on this machine alone."""

import contextlib
import os
import socket
import sys
import webbrowser
from pathlib import Path

import click
from flask import Flask
from werkzeug.serving import WSGIRequestHandler, make_server

import autopilot.demo
from autopilot.core.fleet import Limits
from autopilot.demo.screen import has_screen
from autopilot.explore.app import create_app
from autopilot.explore.files import FileFleet, FileRefusedError, Fleets, open_file
from autopilot.explore.live.fetch import FollowedAddress, address_of
from autopilot.explore.live.follower import Follower
from autopilot.explore.play import StretchPlayer, check_playable
from autopilot.explore.question import PLUS_20, PlayRequest
from autopilot.explore.session import Session
from autopilot.ports import ModelError
from autopilot.settings import Settings, SettingsError
from autopilot.wiring import build_policy

SAMPLE = Path(autopilot.demo.__file__).parent / "sample_day.csv"
_PRICE = 0.10


class ExploreRefusedError(click.ClickException):
    """What was asked for cannot be done; the message says what to mend. Exit code 2."""

    exit_code = 2


class _Quiet(WSGIRequestHandler):
    """Says nothing of each request: whoever looks at the page sees it."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


def _place(_: click.Context, option: click.Parameter, url: str | None) -> FollowedAddress | None:
    """The address that is followed. Raises BadParameter."""
    try:
        return None if url is None else address_of(url)
    except ValueError as error:
        raise click.BadParameter(str(error), param=option) from error


@click.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path, dir_okay=False), metavar="[DEMAND.CSV]...")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port to listen on.  [default: a free one]")
@click.option("--no-browser", is_flag=True, help="Open nothing; print the address alone.")
@click.option(
    "--model", type=click.Path(path_type=Path, file_okay=False), help="Model directory.  [default: as `serve`]"
)
@click.option(
    "--follow", metavar="URL", callback=_place, help="A running client or endpoint to follow on the live page."
)
@click.option("--fleet", "names", multiple=True, help="Of an endpoint: follow this fleet (repeatable).  [default: all]")
@click.option("--price", type=click.FloatRange(0, 1e6), default=_PRICE, show_default=True, help="Of a server-hour.")
def explore(  # noqa: PLR0913, PLR0917 - the options, as click hands them over
    files: tuple[Path, ...],
    port: int,
    no_browser: bool,
    model: Path | None,
    follow: FollowedAddress | None,
    names: tuple[str, ...],
    price: float,
) -> None:
    """Play with your own fleet on a page in the browser.

    Each file is one fleet or, by its column `fleet`, several; a second column `size` says what ran. Files may also be
    dropped on the page, also what Grafana, Prometheus and CloudWatch export. Without any the sample days are shown.
    With --follow a running client (its port) or endpoint is shown, and nothing is changed there. The page is for this
    machine alone, and asks no other address. Ctrl-C ends it.
    """
    try:
        settings = Settings.from_env(os.environ)
        player = StretchPlayer(build_policy(model or Path(settings.autopilot_model_dir)), settings.guardrail_rules())
        given = _opened(files)
        check_playable(given)
        session = Session(player)
        session.pin("sample", open_file(SAMPLE))
    except (FileRefusedError, ModelError, SettingsError) as error:
        raise ExploreRefusedError(str(error)) from error
    if given:
        session.pin("given", given)
    asked = PlayRequest(
        settings.lead(), price, settings.autopilot_missing_price, Limits(), settings.autopilot_hold_minutes > 0,
        PLUS_20, 28, None, 1.0,
    )  # fmt: skip
    follower = Follower(follow, names) if follow else None
    app = create_app(session, asked, "given" if given else "sample", follower)
    _serve(app, port, not no_browser, "live" if follower else "")


def _opened(files: tuple[Path, ...]) -> Fleets:
    """All fleets of all files. Raises FileRefusedError."""
    found: dict[str, FileFleet] = {}
    for path in files:
        for name, fleet in open_file(path).items():
            found[name if name not in found else f"{name} ({path})"] = fleet
    return found


def _serve(app: Flask, port: int, browser: bool, path: str) -> None:
    try:
        place = socket.create_server(("127.0.0.1", port))
    except OSError as error:
        raise ExploreRefusedError(f"port {port}: {error.strerror}; leave --port away for a free one") from error
    port = place.getsockname()[1]
    with make_server("127.0.0.1", port, app, threaded=True, request_handler=_Quiet, fd=place.fileno()) as server:
        url = f"http://127.0.0.1:{port}/{path}"
        click.echo(f"The page is at {url} (Ctrl-C ends it).")
        if browser and has_screen(os.environ, sys.platform):
            webbrowser.open(url)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()
    place.close()
