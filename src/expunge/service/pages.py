"""The report of a request, put together from what the walk saved and what was signed; it names nobody."""

from __future__ import annotations

from typing import Any, Self

from expunge.audit.curves import Curves
from expunge.audit.facts import Asked, Digests, Done, Option, ReceiptSummary, Report, Trained
from expunge.core.canonical import read_json, unb64
from expunge.core.deployment import Cost
from expunge.core.errors import StoreDamaged
from expunge.core.guarantee import Guarantee
from expunge.core.plans import Plan
from expunge.core.record import Record
from expunge.core.ruling import Ruling
from expunge.fulfilment.progress import Progress
from expunge.trust.claims import NON_CLAIM_TEXT
from expunge.trust.note import Checkpoint, note_text
from expunge.trust.predicate import Unlearning
from expunge.trust.proof import Proof
from expunge.trust.receipt import Receipt
from expunge.trust.statement import read_statement

MAX_JSON_BYTES = 1 << 26


class Facts(Record):
    """What a report needs of the objects of a request, kept from the time when they were at hand.

    Attributes:
        asked: the request, without who.
        trained: sizes and names.
        reference: digest of the retrained model; None without one.
        curves: what the figures are drawn from (loss attack).
        paced: whether how long unlearning takes is to be hidden; then the plan's times and counts stay out.
    """

    asked: Asked
    trained: Trained
    reference: str | None = None
    curves: Curves = Curves()
    paced: bool = False

    @classmethod
    def of(cls, progress: Progress) -> Self:
        """Return the facts of a progress that was measured."""
        before, request = progress.deployment, progress.request
        held, when = before.holdout, request.requested_at
        return cls(
            asked=Asked(
                ref=progress.ref,
                ground=request.ground,
                granularity=request.granularity,
                requested_at=None if when is None else when.isoformat(timespec="seconds"),
            ),
            trained=Trained(
                dataset=progress.about.dataset,
                target=before.data.target_name,
                learner=repr(before.learner),
                n_records=len(before.data),
                n_forgotten=len(before.targets(request)),
                n_set_aside=len(before.set_aside(request)),
                n_holdout=0 if held is None else len(held),
            ),
            reference=None if progress.reference is None else progress.reference.model.digest(),
            curves=_curves(progress),
            paced=progress.policy.pace_s is not None,
        )


def _curves(progress: Progress) -> Curves:
    """Return the curves of the run that measured; none where no probe gave any."""
    return next((drawn for drawn in progress.drawn if isinstance(drawn, Curves)), Curves())


def certificate(receipt: bytes) -> Unlearning:
    """Return what a receipt states.

    Raises:
        StoreDamaged: it is not a certificate.
    """
    payload = unb64(Receipt.from_bytes(receipt).envelope.payload)
    predicate = read_statement(payload)[0].predicate
    if not isinstance(predicate, Unlearning):
        raise StoreDamaged("the receipt is not a certificate")
    return predicate


def report_of(walked: dict[str, Any], facts: Facts, receipt: bytes) -> Report:
    """Return the report of a request.

    Args:
        walked: what `Progress.to_json` gave at the end.
        facts: kept since the measurement.
        receipt: the receipt file.
    """
    said, plan = certificate(receipt), Plan.from_json(walked["plan"])
    plan = plan.untimed() if facts.paced else plan
    (change,) = said.scope.models
    return Report(
        asked=facts.asked,
        trained=facts.trained,
        rulings=tuple(Ruling.from_json(r) for r in walked["rulings"]),
        done=_done(walked, plan),
        guarantee=Guarantee.from_json(walked["guarantee"]),
        evidence=said.evaluation.evidence,
        curves=facts.curves,
        digests=Digests(before=change.before, after=change.after, reference=facts.reference),
        receipt=_summary(receipt, said),
        policy_digest=said.evaluation.policy_digest,
        seeds=tuple(dict.fromkeys(seed for e in said.evaluation.evidence for seed in e.seeds)),
        non_claims=tuple(NON_CLAIM_TEXT[code] for code in said.claim.non_claims),
        not_covered=said.scope.not_covered,
    )


def _done(walked: dict[str, Any], plan: Plan) -> Done:
    options = [
        Option(method=o.unlearner, usable=True, seconds=o.prediction.seconds, why=o.prediction.why)
        for o in plan.options
    ]
    options += [Option(method=d.name, usable=False, why=d.reason) for d in plan.dropped]
    return Done(
        method=walked["method"],
        why=plan.why,
        options=tuple(options),
        prediction=plan.prediction,
        cost=Cost.from_json(walked["cost"]),
        reference_s=walked.get("reference_s"),
    )


def _summary(receipt: bytes, said: Unlearning) -> ReceiptSummary:
    proof = Proof.parse(Receipt.from_bytes(receipt).proof)
    size = Checkpoint.parse(note_text(proof.note.encode())).size
    ref = said.request.ref
    return ReceiptSummary(
        ref=ref,
        file=f"{ref}.json",
        log_origin=said.log.origin,
        log_index=proof.index,
        log_size=size,
        key=said.issuer.key.rpartition("+")[0],
    )


def read_report(data: bytes) -> Report:
    """Read a report file."""
    return Report.from_json(read_json(data, MAX_JSON_BYTES))
