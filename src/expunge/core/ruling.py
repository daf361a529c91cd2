"""``Ruling``: what a screen says of a request: accept, hold for a human, or refuse, always with reasons."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from expunge.core.record import Record

Verdict = Literal["accept", "hold", "refuse"]


class Ruling(Record):
    """One screen's judgement of one request.

    Attributes:
        screen: the screen's catalogue name.
        verdict: ``hold`` waits for a human; ``refuse`` ends with a signed denial.
        reasons: plain sentences.
        score: the screen's own number, where it has one.
    """

    screen: str
    verdict: Verdict
    reasons: tuple[str, ...] = ()
    score: float | None = None


def strictest(rulings: Iterable[Ruling]) -> Verdict:
    """Return the strictest verdict: refuse before hold before accept; accept if there is none."""
    verdicts = {r.verdict for r in rulings}
    if "refuse" in verdicts:
        return "refuse"
    return "hold" if "hold" in verdicts else "accept"
