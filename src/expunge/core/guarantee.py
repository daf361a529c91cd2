"""``Guarantee``: what kind of forgetting was promised, on which assumptions, and which artefacts it covers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from expunge.core.record import Record

GuaranteeKind = Literal["exact", "certified", "empirical", "suppression"]
Grade = Literal["bits", "bits-here", "law"]

STRENGTH: dict[GuaranteeKind, int] = {"suppression": 0, "empirical": 1, "certified": 2, "exact": 3}


class Guarantee(Record):
    """The promise that comes with an outcome.

    Attributes:
        kind: ``exact`` (the model equals one that never saw the records), ``certified`` ((ε, δ)-close to it),
            ``empirical`` (measured, no proof), ``suppression`` (hidden, not removed).
        grade: for ``exact``: ``bits`` (digest equal on any platform), ``bits-here`` (equal under the same
            numerical libraries), ``law`` (equal in distribution). Spec X01.
        epsilon: privacy-loss bound of a certified guarantee; None where there is none (never infinity).
        delta: failure probability of a certified guarantee.
        assumptions: what must hold for the promise to hold.
        covers: names of the artefacts that the promise covers.
    """

    kind: GuaranteeKind
    grade: Grade | None = None
    epsilon: float | None = Field(default=None, ge=0)
    delta: float | None = Field(default=None, ge=0, lt=1)
    assumptions: tuple[str, ...] = ()
    covers: tuple[str, ...] = ("model",)

    @model_validator(mode="after")
    def _consistent(self) -> Guarantee:
        if (self.kind == "certified") != (self.epsilon is not None):
            raise ValueError("epsilon belongs to a certified guarantee, and only to it")
        if (self.kind == "exact") != (self.grade is not None):
            raise ValueError("grade belongs to an exact guarantee, and only to it")
        return self

    def at_least(self, kind: GuaranteeKind) -> bool:
        """Say whether this promise is as strong as ``kind`` (exact > certified > empirical > suppression)."""
        return STRENGTH[self.kind] >= STRENGTH[kind]
