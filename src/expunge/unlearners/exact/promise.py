"""What every exact unlearner says: the grade that the model promises, and the assumptions of spec X01."""

from __future__ import annotations

from typing import Final

from expunge.core.deployment import Deployment
from expunge.core.guarantee import Guarantee
from expunge.core.roles import Promises

ASSUMPTIONS: Final = (
    "the key of the model's draws is unchanged",
    "encoders and schema are declared, or learnt from the kept records only",
    "code and environment are those of the digests in this statement",
    "every record of these persons that was learnt from is in the data set",
)


def exactness(deployment: Deployment) -> Guarantee:
    """Return the exact promise of a deployment: its model's own, or ``bits-here`` where the model does not say."""
    model = deployment.model
    own = model.guarantee() if isinstance(model, Promises) else None
    if own is None or own.kind != "exact":
        return Guarantee(kind="exact", grade="bits-here", assumptions=ASSUMPTIONS)
    missing = tuple(a for a in ASSUMPTIONS if a not in own.assumptions)
    return own.model_copy(update={"assumptions": (*own.assumptions, *missing)})
