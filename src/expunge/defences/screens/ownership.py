"""``Ownership``: what is named exists, and one request speaks for one subject unless the owner says otherwise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from expunge.core.deployment import Deployment
from expunge.core.policy import Policy
from expunge.core.request import ForgetRequest
from expunge.core.ruling import Ruling


@dataclass(frozen=True)
class Ownership:
    """Holds a request that names records of several subjects unless the data's owner vouches for it.

    A subject may only speak for itself; the owner (``verified_how="owner-asserted"``) may speak for all of them.

    Guarantee: none; it judges what the request says, not who sent it.
    Cost: one look-up a named record.
    Source: spec D01 (requests are checked against the manifest), service-and-trust S10.
    """

    def judge(self, request: ForgetRequest, deployment: Deployment, policy: Policy) -> Ruling:
        """Return accept, or hold with the number of subjects.

        Raises:
            UnknownRecord, UnknownSubject, NothingLeft: from `Deployment.targets`; nothing was changed.
        """
        ids = deployment.targets(request)
        if request.subject is not None or request.verified_how == "owner-asserted":
            return Ruling(screen="ownership", verdict="accept")
        subjects = set(np.unique(deployment.data.only(ids).subjects).tolist())
        held = deployment.holdout
        if held is not None:
            rest = [i for i in request.records if i in held.id_set]
            subjects |= set(held.only(rest).subjects.tolist())
        if len(subjects) <= 1:
            return Ruling(screen="ownership", verdict="accept")
        reason = (
            f"The request names records of {len(subjects)} subjects, and was verified by {request.verified_how}, "
            "which speaks for one: a person must confirm that it may speak for the others."
        )
        return Ruling(screen="ownership", verdict="hold", reasons=(reason,), score=float(len(subjects)))
