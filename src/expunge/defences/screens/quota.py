"""``Quota``: a request for a large share of the data waits for a human; it is never refused for its size."""

from __future__ import annotations

from dataclasses import dataclass

from expunge.core.deployment import Deployment
from expunge.core.policy import Policy
from expunge.core.request import ForgetRequest
from expunge.core.ruling import Ruling


@dataclass(frozen=True)
class Quota:
    """Holds a request that names more than `Policy.max_share` of the training records.

    Guarantee: none; a person who splits a request into small ones passes (the quota of a sequence is the service's).
    Cost: one look-up a named record.
    Source: over-unlearning and slow-down attacks need many records: spec A17, A18; D01.
    """

    def judge(self, request: ForgetRequest, deployment: Deployment, policy: Policy) -> Ruling:
        """Return accept, or hold with the share; the score is the share.

        Raises:
            UnknownRecord, UnknownSubject, NothingLeft: from `Deployment.targets`; nothing was changed.
        """
        n, m = len(deployment.data), len(deployment.targets(request))
        share = m / n
        if share <= policy.max_share:
            return Ruling(screen="quota", verdict="accept", score=share)
        reason = (
            f"The request names {m:,} of {n:,} training records ({share:.1%}), more than the policy's "
            f"{policy.max_share:.1%}: a person must look at what it does to the model."
        )
        return Ruling(screen="quota", verdict="hold", reasons=(reason,), score=share)
