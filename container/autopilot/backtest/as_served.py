"""What is played is what serves: one place says which settings bear on a replay, for whoever compares models."""

from autopilot.backtest.replay import ReplayConfig
from autopilot.core.fleet import Lead
from autopilot.ports import Policy
from autopilot.settings import Settings


def replay_as_served(settings: Settings, policy: Policy, lead: Lead | None = None) -> ReplayConfig:
    """A policy as it would serve in this environment: lead, price, guardrail and schedule.

    lead  another than the settings'
    """
    return ReplayConfig(
        policy,
        lead or settings.lead(),
        settings.autopilot_missing_price,
        settings.guardrail_rules(),
        events=settings.events(),
    )
