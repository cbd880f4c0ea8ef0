"""A werkzeug application on loopback, for as long as a block lasts: what the emulated platform's fronts answer by."""

import contextlib
import threading
from collections.abc import Callable, Iterator

from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response


@contextlib.contextmanager
def opened(answer: Callable[[Request], Response]) -> Iterator[str]:
    """Let a function answer HTTP. Yields its URL."""
    door = make_server("127.0.0.1", 0, Request.application(answer), threaded=True)
    thread = threading.Thread(target=door.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{door.server_port}"
    finally:
        door.shutdown()
        thread.join()
        door.server_close()
