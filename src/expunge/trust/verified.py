"""``Verified``: what a check of a receipt established, and the sentences that say it to people.

No sentence is stronger than the fields: what the issuer merely states is said to be stated, and no sentence
says that data are gone.

Source: spec T01, T13, T14.
"""

from __future__ import annotations

import re
from typing import Literal

from expunge.core.guarantee import Guarantee
from expunge.core.record import Record
from expunge.trust.claims import LEVEL_TEXT, NON_CLAIM_TEXT
from expunge.trust.predicate import Gap, GroundCode, Level, ModelChange, NonClaim

GUARANTEE_TEXT = {
    "exact": "exact: the model after is one that never learned from the forgotten records",
    "certified": "certified: the model after is statistically close to one that never learned from them",
    "empirical": "empirical: measured only; there is no proof",
    "suppression": "suppression: answers hide the records; their influence is still in the model",
}
GRADE_TEXT = {
    "bits": "equal bit for bit on any platform",
    "bits-here": "equal bit for bit under the same numerical libraries",
    "law": "equal in distribution",
}
_FINAL = re.compile(r"\w*(?:eras|delet)\w*", re.IGNORECASE)


class Verified(Record):
    """What held when a receipt was checked against a trust root.

    Attributes:
        statement: ``unlearning`` or ``denial``.
        ref: reference of the case.
        stage: ``attested`` or ``published``; None for a denial.
        outcome: ``complete``, ``partial`` or ``denied``.
        level: how far others can check the claim.
        guarantee: the guarantee that the issuer states; None for a denial.
        models: models with their digests before and after.
        n_forgotten: how many training records the issuer states were forgotten.
        n_set_aside: how many it states were deleted from the data set aside for measurement.
        grounds: codes of a denial.
        reasons: the issuer's reasons for a partial outcome or a denial.
        non_claims: what the receipt does not say.
        not_covered: artefacts that the issuer names as outside.
        gaps: what the issuer names as unknown or not done.
        warnings: what the reader should know about this check.
        issuer: label of the issuer's key.
        log_origin: the log.
        log_size: size of the tree in the proof's checkpoint.
        index: index of the entry.
        entry_hash: leaf hash of the entry (hex).
        witnesses: how many policy witnesses cosigned.
        independent_witnesses: how many operators independent of the provider cosigned.
        holder_checked: whether the holder's own record was checked against the maps.
        as_of: the time for which the issuer states all this.
    """

    statement: Literal["unlearning", "denial"]
    ref: str
    stage: Literal["attested", "published"] | None = None
    outcome: Literal["complete", "partial", "denied"]
    level: Level
    guarantee: Guarantee | None = None
    models: tuple[ModelChange, ...] = ()
    n_forgotten: int = 0
    n_set_aside: int = 0
    grounds: tuple[GroundCode, ...] = ()
    reasons: tuple[str, ...] = ()
    non_claims: tuple[NonClaim, ...] = ()
    not_covered: tuple[str, ...] = ()
    gaps: tuple[Gap, ...] = ()
    warnings: tuple[str, ...] = ()
    issuer: str
    log_origin: str
    log_size: int
    index: int
    entry_hash: str
    witnesses: int
    independent_witnesses: int
    holder_checked: bool
    as_of: str

    def lines(self) -> tuple[str, ...]:
        """Return the verdict as plain sentences, one a line."""
        said = (
            f"Verified: signed by {_plain(self.issuer)}; entry {self.index} of {self.log_size} in the log "
            f"{_plain(self.log_origin)}.",
            *self._witness_lines(),
            *(self._denial_lines() if self.statement == "denial" else self._unlearning_lines()),
            *(f"Reason given by the issuer: {self._quote(reason)}" for reason in self.reasons),
            *(f"Not covered: {self._quote(what)}" for what in self.not_covered),
            *(f"Gap: {self._quote(gap.what)} ({self._quote(gap.why)})" for gap in self.gaps),
            *(NON_CLAIM_TEXT[code] for code in self.non_claims),
            *(f"Warning: {_plain(warning)}" for warning in self.warnings),
            "Assumed: enough of the policy's witnesses are honest, the holder keeps this receipt, and SHA-256 "
            "and the signature schemes hold.",
        )
        return tuple(said)

    def _witness_lines(self) -> tuple[str, ...]:
        if self.independent_witnesses:
            count = f"{self.independent_witnesses} of them run independently"
            return (f"{self.witnesses} witness(es) cosigned the log, {count}.",)
        return ("Warning: no independent witness; the operator alone vouches for the log.",)

    def _denial_lines(self) -> tuple[str, ...]:
        grounds = ", ".join(self.grounds)
        return (f"The request was refused on {self.as_of}; nothing was forgotten. Grounds: {grounds}.",)

    def _unlearning_lines(self) -> tuple[str, ...]:
        kind = self.guarantee.kind if self.guarantee else "suppression"
        action = "suppressed" if kind == "suppression" else "forgotten"
        beside = f"{self.n_set_aside} record(s) that the model never learnt were removed from the data set aside."
        aside = (beside,) if self.n_set_aside else ()
        partial = ("The outcome is partial: part of what was asked was not done.",)
        return (
            f"The issuer states, as of {self.as_of}: {self.n_forgotten} record(s) {action}.",
            *aside,
            *(partial if self.outcome == "partial" else ()),
            f"Guarantee stated: {GUARANTEE_TEXT[kind]}{self._guarantee_detail()}.",
            *(f"Assumes: {self._quote(a)}" for a in (self.guarantee.assumptions if self.guarantee else ())),
            f"Level {self.level}: {LEVEL_TEXT[self.level]}.",
            *(f"Model {self._quote(m.id)}: state {m.before[:12]}… before, {m.after[:12]}… after." for m in self.models),
            *(
                ("Your record was checked: absent from the committed training list, present among the forgotten.",)
                if self.holder_checked
                else ()
            ),
        )

    def _guarantee_detail(self) -> str:
        if self.guarantee is None:
            return ""
        if self.guarantee.grade is not None:
            return f" ({GRADE_TEXT[self.guarantee.grade]})"
        if self.guarantee.epsilon is not None:
            return f" (ε = {self.guarantee.epsilon:g}, δ = {self.guarantee.delta or 0:g})"
        return ""

    def _quote(self, text: str) -> str:
        """Return the issuer's words, harmless for a terminal; final words only where they may stand."""
        weak = self.outcome != "complete" or (self.guarantee is not None and self.guarantee.kind == "suppression")
        return _FINAL.sub("[…]", _plain(text)) if weak else _plain(text)


def _plain(text: str) -> str:
    return "".join(c if c.isprintable() else "\ufffd" for c in text)
