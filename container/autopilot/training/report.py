"""The training report: one HTML file without any outside reference, with its plots inside."""

import base64
import html
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

from autopilot.policy.metadata import Metadata
from autopilot.training.job import write_atomically
from autopilot.training.verdict import Verdict

History = Sequence[Mapping[str, float]]
_EXPECTED = {
    "forecast_loss": "Loss of the forecast: falls, then flattens. Rising: lower the learning rate.",
    "closed_loop_loss": "Cost of rows of decisions in the closed loop, likewise; it begins anew, and is noisier.",
    "distillation_loss": "Distance from the mean of the ensemble: falls most towards the end.",
    "score": "Cost of validation fleets in the closed loop relative to the best simple rule in hindsight: falls in "
    "both stages. Below 1 is better than it.",
    "reward": "Mean reward of a step while exploring: rises, then levels off.",
    "approx_kl": "How far an update moved the policy: 0.001 to 0.03 is healthy.",
    "clip_fraction": "Share of samples at the clip: 0.05 to 0.3.",
    "explained_variance": "Of the returns by the value function: rises towards 1.",
    "std": "Exploration: falls slowly.",
    "validation_profit": "Expected profit of an episode in dollars, of the deterministic policy: rises.",
    "validation_gain": "The same, less that of the 30-minute peak rule on the same episodes: above 0 beats it.",
    "validation_cost": "Cost relative to the calibrated rule on the same episodes: below 1 is better than it.",
}

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse}td,th{padding:.25rem .75rem;border-bottom:1px solid #ddd;text-align:left}"
    "img{max-width:100%}figure{margin:1rem 0}figcaption{color:#555}"
)


def write_report(path: Path, metadata: Metadata, verdict: Verdict, history: History) -> None:
    """Write the report of a run of a fleet policy: the verdict, the learning curves, and everything that was set."""
    parts = [paragraph(verdict_line(verdict)), _verdict_table(verdict), *curves(history), *settings_of(metadata)]
    write_page(path, metadata.version, parts)


def write_page(path: Path, title: str, parts: Sequence[str]) -> None:
    """Write one HTML file under a title; `parts` are HTML already."""
    title = html.escape(title)
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1>{''.join(parts)}</body></html>\n"
    )
    write_atomically(path, page.encode())


def paragraph(text: str) -> str:
    """A paragraph of plain text."""
    return f"<p>{html.escape(text)}</p>"


def settings_of(metadata: Metadata) -> list[str]:
    """What was set, and the versions of what trained."""
    return [
        "<h2>Hyperparameters</h2>",
        table(("name", "value"), [(k, str(v)) for k, v in metadata.hyperparameters.items()]),
        "<h2>Versions</h2>",
        table(("library", "version"), list(metadata.libraries.items())),
    ]


def curves(history: History) -> list[str]:
    """The learning curves that the history tells of."""
    return [_curve(name, history) for name in _EXPECTED if any(name in entry for entry in history)]


def verdict_line(verdict: Verdict) -> str:
    """The verdict as a sentence."""
    others = ", ".join(f"{name} {ratio:.3f}" for name, ratio in sorted(verdict.ratios.items(), key=lambda one: one[1]))
    return (
        f"Served: {verdict.chosen}. Cost relative to the calibrated rule, geometric mean of {verdict.fleets} fleets "
        f"({verdict.judged_on}): {others}.{_differences(verdict)}"
    )


def _differences(verdict: Verdict) -> str:
    """What the intervals say, in words."""
    base = next(name for name in verdict.ratios if name not in verdict.intervals)
    parts = []
    for name, interval in verdict.intervals.items():
        if interval is None:
            parts.append(f"{name}: too little was judged")
        else:
            parts.append(
                f"{name} {interval.low:.3f} to {interval.high:.3f}{'' if interval.differs else ', no difference'}"
            )
    return f" Relative to {base}, 95 % interval: {'; '.join(parts)}." if parts else ""


def _verdict_table(verdict: Verdict) -> str:
    rows = [
        (name, f"{ratio:.4f}", "served" if name == verdict.chosen else "") for name, ratio in verdict.ratios.items()
    ]
    return table(("candidate", "cost relative to the calibrated rule", ""), rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of plain text."""
    top = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{top}</tr>{body}</table>"


def _curve(name: str, history: History) -> str:
    points = [(number + 1, entry[name]) for number, entry in enumerate(history) if name in entry]
    figure, axes = plt.subplots(figsize=(9, 3), layout="constrained")
    axes.plot(*zip(*points, strict=True), color="#1f6feb", marker="." if len(points) < 60 else "")
    axes.set(xlabel="iteration", ylabel=name.replace("_", " "))
    axes.grid(alpha=0.3)
    return picture(figure, f"{name} over the run", _EXPECTED[name])


def picture(figure: Any, described: str, caption: str) -> str:  # noqa: ANN401 - a matplotlib figure
    """A figure with its caption; the picture is inside. `described` is for who does not see it."""
    return (
        f'<figure><img alt="{html.escape(described)}" src="data:image/png;base64,{_png(figure)}">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def _png(figure: Any) -> str:  # noqa: ANN401 - a matplotlib figure
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=110, metadata={"Software": None})
    plt.close(figure)
    return base64.b64encode(buffer.getvalue()).decode()
