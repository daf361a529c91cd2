"""``Evidence``: one measurement with its interval, its n, its control and how it was estimated. Never a bare number."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from expunge.core.record import Record

Direction = Literal["lower", "higher", "equal", "none"]
Status = Literal["measured", "not_measured"]

ONCE = frozenset({"timing", "pair", "run"})
"""Units of what is taken once, in one run: there is no interval to give."""


class Null(Record):
    """The same measure where nothing is left to find: retrain against retrain, or the benign twin."""

    what: str
    value: float
    low: float
    high: float
    n: int


class Evidence(Record):
    """One measurement.

    Attributes:
        name: ``<probe>.<measure>@<arm>``, e.g. ``membership.loss_auc@after``.
        estimator: how it was computed, in one line.
        value: the point estimate.
        low: lower end of the 95 % interval.
        high: upper end of the 95 % interval; equal to `low` only for exact facts (n counts what was compared).
        n: how many records (or models, said in `unit`) the estimate rests on.
        n_models: shadow or reference models used, where any were.
        null: the control; see `Null`.
        threshold: the policy's bound, when it sets one.
        direction: which side of the threshold is good.
        passed: whether the *whole interval* lies on the good side; None when there is no threshold.
        seeds: seeds of the randomness used.
        p_value: how often the null gives as much in the harmful direction; None where no test was made.
        power: the smallest excess that would have been found with 80 % power; None where it is not known.
        status: ``not_measured`` carries the reason in `note`; its numbers are zero and mean nothing.
    """

    name: str
    estimator: str
    value: float
    low: float
    high: float
    n: int
    unit: str = "records"
    n_models: int | None = None
    null: Null | None = None
    threshold: float | None = None
    direction: Direction = "none"
    passed: bool | None = None
    seeds: tuple[str, ...] = ()
    p_value: float | None = None
    power: float | None = None
    status: Status = "measured"
    note: str | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Evidence:
        if not self.low <= self.value <= self.high:
            raise ValueError(f"{self.name}: value {self.value} is outside its interval [{self.low}, {self.high}]")
        return self

    @classmethod
    def missing(cls, name: str, why: str) -> Evidence:
        """Return the record of a measurement that could not be made, with the reason (never silence)."""
        return cls(name=name, estimator="-", value=0, low=0, high=0, n=0, status="not_measured", note=why)

    def judged(self, threshold: float, direction: Direction) -> Evidence:
        """Return the evidence held against a bound: it passes only if its whole interval does.

        Args:
            threshold: the bound.
            direction: ``lower`` = small is good, ``higher`` = large is good, ``equal`` = must equal the bound.
        """
        good = {
            "lower": self.high <= threshold,
            "higher": self.low >= threshold,
            "equal": self.low == self.high == threshold,
            "none": None,
        }[direction]
        if self.status == "not_measured":
            good = None if direction == "none" else False
        return self.model_copy(update={"threshold": threshold, "direction": direction, "passed": good})

    def text(self) -> str:
        """Return ``value [low, high] (n …)`` for people; what was taken once has no interval, and says so."""
        if self.status == "not_measured":
            return f"not measured: {self.note}"
        if self.unit in ONCE:
            return f"{_shown(self.value)} ({self.n} {self.unit}; no interval)"
        control = f", {self.null.what} {_shown(self.null.value)}" if self.null else ""
        interval = f"[{_shown(self.low)}, {_shown(self.high)}]"
        return f"{_shown(self.value)} {interval} (n {self.n} {self.unit}{control})"


def _shown(value: float) -> str:
    """Return a number for people: whole numbers in full, others with four digits, thousands separated."""
    if value.is_integer():
        return f"{int(value):,}"
    text = f"{value:.4g}"
    return f"{float(text):,.0f}" if abs(value) >= 1000 else text
