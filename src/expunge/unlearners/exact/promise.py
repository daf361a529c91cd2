"""What every exact unlearner says: the grade that the model promises, and the assumptions of spec X01."""

from __future__ import annotations

from expunge.core.deployment import Deployment
from expunge.core.guarantee import Guarantee
from expunge.core.models import EXACT_ASSUMES, exactly
from expunge.core.roles import Promises


def exactness(deployment: Deployment) -> Guarantee:
    """Return the exact promise of a deployment: its model's own, or ``bits-here`` where the model does not say."""
    model = deployment.model
    own = model.guarantee() if isinstance(model, Promises) else None
    if own is None or own.kind != "exact":
        return exactly("bits-here")
    missing = tuple(a for a in EXACT_ASSUMES if a not in own.assumptions)
    return own.model_copy(update={"assumptions": (*own.assumptions, *missing)})
