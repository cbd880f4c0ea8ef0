"""What gunicorn's workers import: Flask's application for every route, and the faster one for decisions alone."""

import logging
import os

from autopilot.serve.app import create_app
from autopilot.serve.decisions import DecisionApp
from autopilot.serve.log import STDOUT, DroppingHandler
from autopilot.serve.metrics import Metrics
from autopilot.settings import Settings

settings = Settings.from_env(os.environ)
metrics = Metrics()
logging.basicConfig(
    handlers=[DroppingHandler(STDOUT, metrics.dropped)],
    level=settings.autopilot_log_level,
    format="%(levelname)s %(name)s %(message)s",
)
for name in ("botocore", "urllib3"):  # at DEBUG they write down whole requests: tokens, and signatures with their keys
    logging.getLogger(name).setLevel(max(logging.INFO, logging.getLogger().level))
app = create_app(settings, metrics=metrics)
invocations = app.extensions["invocations"]
decisions = DecisionApp(invocations, settings.model_server_threads)
