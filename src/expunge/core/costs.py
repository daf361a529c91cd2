"""What a run is predicted to cost: curves, the time of a refit, and times written for people (spec XP01–XP03)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from expunge.core.deployment import Deployment, Prediction
from expunge.core.request import ForgetRequest
from expunge.core.roles import Model, Weighs

P95_FACTOR: Final = 4.0
"""Taken between the median and the 95th percentile of a time until residuals are known (spec XP04)."""

FOREST_CURVE: Final = ((1.0, 0.0025), (10.0, 0.02), (100.0, 0.15), (1000.0, 0.52))
"""Share of a refit that forgetting m records takes: the shipped start (spec XP03)."""


def along(curve: Sequence[tuple[float, float]], m: float) -> float:
    """Interpolate a cost curve at m forgotten records, log-log; flat outside its points.

    >>> round(along(FOREST_CURVE, 100), 3), round(along(FOREST_CURVE, 31.6), 3)
    (0.15, 0.055)
    """
    if m <= curve[0][0]:
        return curve[0][1]
    for (x0, y0), (x1, y1) in zip(curve, curve[1:], strict=False):
        if m <= x1:
            share = math.log(m / x0) / math.log(x1 / x0)
            return math.exp(math.log(y0) + share * math.log(y1 / y0))
    return curve[-1][1]


def refit(deployment: Deployment, request: ForgetRequest) -> Prediction:
    """Predict a fit on the kept records: the last fit's time, scaled by the share of records kept."""
    n, m = len(deployment.data), len(deployment.targets(request))
    if deployment.fit_s is None:
        return Prediction(records_read=n - m, why=f"learns again from {n - m:,} records; no earlier fit was timed")
    seconds = deployment.fit_s * (n - m) / n
    why = f"learns again from {n - m:,} of {n:,} records; the last fit took {span(deployment.fit_s)}"
    return Prediction(seconds=seconds, p95_s=2 * seconds, records_read=n - m, why=why)


def completed(prediction: Prediction, refit_s: float | None, m: int) -> Prediction:
    """Fill in the times that a model left open, from the time of a refit (spec XP03).

    Args:
        prediction: what the model knows exactly: records and parts touched, maybe times.
        refit_s: predicted time of a refit, in seconds; None if unknown.
        m: how many records are forgotten.
    """
    update: dict[str, Any] = {}
    seconds = prediction.seconds
    if seconds is None and refit_s is not None:
        share = along(FOREST_CURVE, m)
        if prediction.parts and prediction.parts_touched is not None:
            share = min(share, prediction.parts_touched / prediction.parts)
            update["worst_s"] = refit_s * prediction.parts_touched / prediction.parts
        seconds = update["seconds"] = share * refit_s
    if prediction.p95_s is None and seconds is not None:
        update["p95_s"] = P95_FACTOR * seconds
    return prediction.model_copy(update=update) if update else prediction


def weight(model: Model) -> int | None:
    """Return the bytes of a model's own arrays; None where it does not say."""
    return model.nbytes if isinstance(model, Weighs) else None


def span(seconds: float) -> str:
    """Write a time for people.

    >>> span(0.00071), span(0.43), span(95)
    ('0.71 ms', '430 ms', '1.6 min')
    """
    for unit, size in (("h", 3600.0), ("min", 60.0), ("s", 1.0), ("ms", 1e-3)):
        if seconds >= size * (1.5 if size > 1 else 1):
            return f"{seconds / size:.3g} {unit}" if size <= 1 else f"{seconds / size:.1f} {unit}"
    return f"{seconds * 1e3:.2g} ms" if seconds >= 1e-4 else f"{seconds * 1e6:.2g} µs"
