"""What a ledger of trajectories promises, in words: what is compared with what, and on which constants it rests."""

from __future__ import annotations

from expunge.core.accountant import COMPARED, PUBLIC_KEY, Action, Budget, Ledger
from expunge.core.errors import Unsupported
from expunge.core.guarantee import Guarantee
from expunge.core.models import EXACT_ASSUMES

FRESH = (
    "(ε, δ) compares this version, published with fresh noise, with retraining and fresh noise, for all records taken "
    "out together, whatever was published before and however the request reacted to it"
)
PLAIN = "requests are chosen without regard to the noise in versions published before"
SAID: dict[Action, tuple[str, ...]] = {
    "fit": (FRESH,),
    "step": (FRESH,),
    "measured": (FRESH,),
    "refit": (FRESH,),
    "descent": (FRESH, "retraining is descent from zero to within the fit's own distance of the minimum"),
    "rewind": (FRESH, "retraining is as many full steps from zero"),
    "langevin": (
        "(ε, δ) compares this version with noisy steps over the kept records from the start, as many as it took in "
        "all; a forgotten record leaves an empty slot",
        PLAIN,
    ),
    "noised": (
        "(ε, δ) compares this version with retraining that is followed by the same cut, noise, and free steps",
        PLAIN,
    ),
    "output": (
        "(ε, δ) compares this version with retraining that is followed by the same cut, noise, and free steps",
        PLAIN,
    ),
    "spared": (
        "(ε, δ) compares this version with one learnt without any of the records forgotten since the fit, all together",
        PLAIN,
    ),
}
"""What the promise of each action says."""


def certified_as(
    ledger: Ledger,
    n: int,
    public_key: bool,
    room: tuple[Budget, float, float],
    covers: tuple[str, ...] = ("model", "encoder"),
) -> Guarantee:
    """Return the promise of a ledger; with a public key it is only empirical.

    Args:
        ledger: the model's.
        n: records that the model has.
        public_key: whether anybody can draw the noise again.
        room: the budget, what the noise has to hide, and what it hides at that budget.
        covers: artefacts that the promise is about.

    Raises:
        Unsupported: no noise, a ledger that does not stand, or more to hide than the noise hides.
    """
    budget, left, hidden = room
    if ledger.sigma <= 0:
        raise Unsupported("the model was learnt without noise (sigma=0)", hint="Fit with sigma > 0, or retrain.")
    if reason := ledger.broken(n):
        raise Unsupported(f"the ledger is broken: {reason}", hint="Use retrain.")
    if not left <= hidden:
        raise Unsupported(
            f"the noise would have to hide {left:.3g}, and noise of {ledger.sigma:g} hides {hidden:.3g} "
            f"at epsilon={budget.epsilon:g}, delta={budget.delta:g}",
            hint="Ask for a larger epsilon, fit with more noise or more steps, or use retrain.",
        )
    proofs = tuple(f"{c.name} = {c.value:g} ({c.proof})" for c in ledger.constants)
    told = (*SAID[ledger.entries[-1].action], *COMPARED[1:], *proofs, *EXACT_ASSUMES)
    if public_key:
        return Guarantee(kind="empirical", assumptions=(PUBLIC_KEY, *told), covers=covers)
    return Guarantee(kind="certified", epsilon=budget.epsilon, delta=budget.delta, assumptions=told, covers=covers)
