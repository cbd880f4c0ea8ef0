"""What one takes home from the page: sizes, settings for the endpoint, and the client's configuration."""

import csv
import io
import re
from math import ceil

import numpy as np

from autopilot.backtest.replay import REASONS
from autopilot.core.fleet import Lead
from autopilot.core.history import rfc3339
from autopilot.explore.play import NO_REASON, Played
from autopilot.explore.question import PlayRequest


def sizes_csv(played: Played) -> str:
    """`timestamp,demand,size,ready,reason` of every step that counts and has an observation."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("timestamp", "demand", "size", "ready", "reason"))
    for at in np.flatnonzero(played.scored & (played.reason < NO_REASON)).tolist():
        row = (played.demand[at], played.sizes[at], played.policy.ready[at])
        writer.writerow((rfc3339(played.times[at]), *(f"{one:.10g}" for one in row), REASONS[played.reason[at]]))
    return out.getvalue()


def settings_env(asked: PlayRequest, hold_minutes: float) -> str:
    """The endpoint's environment, as a file for `docker run --env-file` or a ConfigMap."""
    return (
        "# The endpoint's part of what was chosen; the limits are the client's.\n"
        f"AUTOPILOT_LEAD_MINUTES={lead_text(asked.lead)}\n"
        f"AUTOPILOT_MISSING_PRICE={asked.missing_price:g}\n"
        f"AUTOPILOT_HOLD_MINUTES={hold_minutes if asked.hold else 0:g}\n"
    )


def lead_text(lead: Lead) -> str:
    """A lead as settings write it."""
    return f"{lead.shortest:g}" if lead.shortest == lead.longest else f"{lead.shortest:g}-{lead.longest:g}"


def client_yaml(played: Played, asked: PlayRequest) -> str:
    """The client's configuration for one fleet, a dry run until somebody changes one word."""
    fleet = played.scenario.fleet
    target = re.sub(r"[^a-z0-9.-]+", "-", fleet.rsplit("/", 1)[-1].lower()).strip("-.") or "my-fleet"
    most, why = asked.limits.maximum, "chosen on the page"
    if most is None:
        most, why = max(10, ceil(2 * float(played.sizes.max()))), "twice the most that this stretch asked for"
    return (
        "endpoint:\n"
        "  url: http://autopilot:8080/invocations # or  sagemaker: gameserver-autopilot  with  region: us-west-2\n"
        "defaults:\n"
        "  apply: observe # a dry run: nothing is changed; then `scale`, or `webhook` for an Agones FleetAutoscaler\n"
        f"  minimum: {asked.limits.minimum}\n"
        f"  maximum: {max(most, 1)} # {why}\n"
        "fleets:\n"
        f"  - name: {re.sub(r'[^A-Za-z0-9._/:@-]', '-', fleet).lstrip('._/:@-') or target}\n"
        f"    target: fleet/{target} # the Agones fleet; or  deployment/NAME\n"
        f"    lead_minutes: [{asked.lead.shortest:g}, {asked.lead.longest:g}]\n"
        "    demand:\n"
        "      source: agones # or  http  with  url  and  field,  or  prometheus  with  url  and  query\n"
    )
