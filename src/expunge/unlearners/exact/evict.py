"""``evict``: after a model has forgotten, the stores and caches beside it let go of what was made from the records."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from expunge.core.deployment import Deployment, Outcome
from expunge.core.errors import Unsupported
from expunge.core.guarantee import Guarantee
from expunge.core.request import ForgetRequest
from expunge.unlearners.exact.stores import Store


def promise(guarantee: Guarantee, stores: Sequence[Store]) -> Guarantee:
    """Return what is promised of a model and of stores together.

    Exact eviction needs to know everything that was made from a record. A store with one entry that does not say what
    it was made from may hold more than anybody knows: then the promise for the whole drops to ``empirical``, and who
    asks for exact has to leave that store out, or empty it.

    Args:
        guarantee: of the model.
        stores: what is evicted from.
    """
    if not stores:
        return guarantee
    covers = (*guarantee.covers, *(f"store:{store.name}" for store in stores))
    blind = [store.name for store in stores if not store.indexed]
    if blind and guarantee.at_least("certified"):
        said = f"what was written to {', '.join(blind)} without naming its records was made from none of these"
        return Guarantee(kind="empirical", assumptions=(*guarantee.assumptions, said), covers=covers)
    names = ", ".join(store.name for store in stores)
    said = f"what was written to {names} was made from the records that its writer named, and from no others"
    return guarantee.model_copy(update={"assumptions": (*guarantee.assumptions, said), "covers": covers})


def evict(outcome: Outcome, before: Deployment, request: ForgetRequest, stores: Sequence[Store]) -> Outcome:
    """Return the outcome of a request once stores hold nothing known to be made from its records.

    A step after any unlearner rather than an unlearner of its own: a policy names unlearners by a word, and a word
    cannot carry a store. A run that failed half-way may simply be run again.

    Args:
        outcome: what the unlearner gave back for the model.
        before: the deployment that it was run on.
        request: what was forgotten; records that were set aside are evicted as well.
        stores: what to evict from.

    Guarantee: that of `outcome`, covering the stores as well, if every write to them named its records; else
        ``empirical`` (`promise`).
    Cost: the entries that are removed.
    Source: spec XL13.

    Raises:
        Unsupported: a store still holds such an entry after it was told to remove it.
    """
    guarantee = promise(outcome.guarantee, stores)
    ids, began = (*before.targets(request), *before.set_aside(request)), time.perf_counter()
    n_removed = 0
    for store in stores:
        n_removed += store.evict(ids)
        left = store.made_from(ids)
        if left:
            raise Unsupported(f"the store {store.name!r} still holds {left} entries made from the records")
    cost = outcome.cost.model_copy(update={"seconds": outcome.cost.seconds + time.perf_counter() - began})
    said = f"{outcome.method}, then {n_removed} entries evicted from {', '.join(store.name for store in stores)}"
    return replace(outcome, guarantee=guarantee, cost=cost, method=said if stores else outcome.method)
