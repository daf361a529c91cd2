"""What every unlearner must hold; the exact ones more than the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from expunge.core.accountant import gaussian_sigma
from expunge.core.conformance.watch import (
    arrays_of,
    changed,
    fails,
    hold,
    portrait,
    quiet_globals,
    refit,
    restored,
    some_ids,
    unequal,
)
from expunge.core.deployment import Deployment, Outcome, Prediction
from expunge.core.errors import BadInput, NothingLeft, UnknownRecord, UnknownSubject, Unsupported
from expunge.core.models import rows_to_forget
from expunge.core.request import ForgetRequest, Id
from expunge.core.roles import Certifies, Model, Unlearner

World = Callable[[int], Deployment]
"""Seed → a fresh deployment."""

SEEDS = (0, 1, 2, 3)


def _request(ids: tuple[Id, ...]) -> ForgetRequest:
    return ForgetRequest(records=ids)


def _served(unlearner: Unlearner, world: World) -> Iterator[tuple[int, Deployment]]:
    """Yield worlds that the unlearner serves; none if it says `Unsupported`."""
    for seed in SEEDS:
        deployment = world(seed)
        try:
            unlearner.promise(deployment)
        except Unsupported:
            continue
        yield seed, deployment


def _run(unlearner: Unlearner, deployment: Deployment, ids: tuple[Id, ...]) -> Outcome:
    return unlearner.unlearn(deployment, _request(ids))


def _exact(unlearner: Unlearner, deployment: Deployment) -> bool:
    promise = unlearner.promise(deployment)
    return promise.kind == "exact" and promise.grade != "law"


def check_before_unchanged(unlearner: Unlearner, world: World) -> None:
    """The deployment before is sacred: model, memory, data and holdout stay as they were."""
    for seed, deployment in _served(unlearner, world):
        before = portrait(deployment)
        _run(unlearner, deployment, some_ids(deployment, 0.2, seed))
        odd = changed(before, deployment)
        hold(not odd, f"unlearn changed the deployment before: {odd}")


def check_ids_gone(unlearner: Unlearner, world: World) -> None:
    """The named records are gone from data and holdout, and no other record is."""
    for seed, deployment in _served(unlearner, world):
        ids = some_ids(deployment, 0.3, seed)
        held = deployment.holdout
        also = tuple(held.ids.tolist()[:1]) if held is not None and len(held) > 1 else ()
        after = unlearner.unlearn(deployment, _request(ids + also)).after
        hold(
            after.data.id_set == deployment.data.id_set - set(ids),
            "data after are not the data before less the records",
        )
        if held is not None and after.holdout is not None:
            hold(after.holdout.id_set == held.id_set - set(also), "the holdout still holds a record that was forgotten")


def check_subject_gone(unlearner: Unlearner, world: World) -> None:
    """Forgetting a subject forgets all of its records, and the subject is unknown afterwards."""
    for _, deployment in _served(unlearner, world):
        names, counts = np.unique(deployment.data.subjects, return_counts=True)
        for subject in names[np.argsort(-counts)].tolist():
            try:
                rows_to_forget(deployment.data, deployment.data.owned_by(subject))
            except BadInput:
                continue
            after = unlearner.unlearn(deployment, ForgetRequest(subject=subject)).after
            hold(not after.data.owned_by(subject), "a record of the forgotten subject is still in the data")
            with fails((UnknownSubject,), "forgetting a subject twice"):
                unlearner.unlearn(after, ForgetRequest(subject=subject))
            break


def check_twice_is_unknown(unlearner: Unlearner, world: World) -> None:
    """Forgetting a record twice says that it is unknown."""
    for seed, deployment in _served(unlearner, world):
        ids = some_ids(deployment, 0.1, seed)
        after = _run(unlearner, deployment, ids).after
        with fails((UnknownRecord,), "forgetting a record twice"):
            _run(unlearner, after, ids)


def check_unknown_id_raises(unlearner: Unlearner, world: World) -> None:
    """One unknown id, or all ids, is an error that changes nothing."""
    for seed, deployment in _served(unlearner, world):
        before = portrait(deployment)
        strange: Id = "no such record" if deployment.data.ids.dtype.kind != "i" else -987654321
        with fails((UnknownRecord,), "forgetting an unknown record"):
            _run(unlearner, deployment, (*some_ids(deployment, 0.1, seed), strange))
        with fails((NothingLeft,), "forgetting every record"):
            _run(unlearner, deployment, tuple(deployment.data.ids.tolist()))
        odd = changed(before, deployment)
        hold(not odd, f"a request that failed changed the deployment: {odd}")


def check_empty_is_identity(unlearner: Unlearner, world: World) -> None:
    """A request that names nothing changes nothing."""
    for _, deployment in _served(unlearner, world):
        after = unlearner.unlearn(deployment, ForgetRequest()).after
        hold(after.model.digest() == deployment.model.digest(), "an empty request changed the model")
        hold(after.data.id_set == deployment.data.id_set, "an empty request changed the data")


def check_does_something(unlearner: Unlearner, world: World) -> None:
    """Where retraining gives another model, so does the unlearner; or its ledger says that the records were spared.

    What a ledger says of a certified model is `check_residual_within_bound`'s to judge.
    """
    for seed, deployment in _served(unlearner, world):
        ids = some_ids(deployment, 0.3, seed)
        digest = deployment.model.digest()
        if refit(deployment, ids).digest() == digest:
            continue
        outcome = _run(unlearner, deployment, ids)
        if outcome.guarantee.kind == "certified" and _spared(outcome.after.model):
            continue
        hold(outcome.after.model.digest() != digest, "the model after equals the model before: nothing was forgotten")


def _spared(model: Model) -> bool:
    return isinstance(model, Certifies) and model.ledger.entries[-1].action == "spared"


def check_equals_retraining(unlearner: Unlearner, world: World) -> None:
    """An exact outcome has the digest of a model learnt from the kept records, and remembers as much."""
    for seed, deployment in _served(unlearner, world):
        for share in (0.02, 0.3, 0.6):
            if not _exact(unlearner, deployment):
                continue
            ids = some_ids(deployment, share, seed)
            after, reference = _run(unlearner, deployment, ids).after.model, refit(deployment, ids)
            what = f"after forgetting {len(ids)} of {len(deployment.data)} records"
            hold(after.digest() == reference.digest(), f"{what} the model differs from one learnt without them")
            odd = unequal(arrays_of(after), arrays_of(reference))
            hold(not odd, f"{what} the digests agree, but these arrays differ from a fresh fit's: {odd}")


def check_order_is_free(unlearner: Unlearner, world: World) -> None:
    """Exact: two orders and one batch give the same model."""
    for seed, deployment in _served(unlearner, world):
        if not _exact(unlearner, deployment):
            continue
        ids = some_ids(deployment, 0.4, seed)
        a, b = ids[: len(ids) // 2], ids[len(ids) // 2 :]
        one = _run(unlearner, deployment, ids).after.model.digest()
        for first, second in ((a, b), (b, a)):
            if not first or not second:
                continue
            last = _run(unlearner, _run(unlearner, deployment, first).after, second).after
            hold(last.model.digest() == one, "the order or grouping of deletions changes the model")


def check_moves_toward_retraining(unlearner: Unlearner, world: World) -> None:
    """Approximate: on the forgotten records, the losses come nearer to a retrained model's, summed over worlds.

    An unlearner that is known not to, and says so (a text ``away``), is not held to it.
    """
    if getattr(unlearner, "away", ""):
        return
    before_gap = after_gap = 0.0
    for seed, deployment in _served(unlearner, world):
        if unlearner.promise(deployment).kind not in ("certified", "empirical"):
            continue
        ids = some_ids(deployment, 0.3, seed)
        forgotten = deployment.data.only(ids)
        target = refit(deployment, ids).losses(forgotten)
        after = _run(unlearner, deployment, ids).after.model
        before_gap += float(np.abs(deployment.model.losses(forgotten) - target).sum())
        after_gap += float(np.abs(after.losses(forgotten) - target).sum())
    hold(after_gap <= before_gap, f"losses moved away from retraining: {before_gap:.3g} before, {after_gap:.3g} after")


def check_residual_within_bound(unlearner: Unlearner, world: World) -> None:
    """Certified: measured over the kept records, what is left is within the ledger's bound, and that within the noise.

    The model before, passed off as the one after, is not: where it differs from retraining by more than the noise
    hides, its residual says so.
    """
    for seed, deployment in _served(unlearner, world):
        if unlearner.promise(deployment).kind != "certified":
            continue
        for share in (0.02, 0.3, 0.6):
            ids = some_ids(deployment, share, seed)
            outcome = _run(unlearner, deployment, ids)
            after, promise = outcome.after.model, outcome.guarantee
            hold(isinstance(after, Certifies), "a certified model keeps no ledger of its removals")
            if not isinstance(after, Certifies) or promise.epsilon is None or promise.delta is None:
                continue
            allowed = after.ledger.sigma / gaussian_sigma(promise.epsilon, promise.delta)
            last = after.ledger.entries[-1]
            hold(last.forgotten == len(ids) and last.kept == len(outcome.after.data), "the ledger counts other records")
            hold(last.residual <= allowed, f"a residual of {last.residual:.3g} is left, and noise hides {allowed:.3g}")
            found, _ = after.residual()
            hold(found <= last.residual, f"the ledger says {last.residual:.3g}, measured are at least {found:.3g}")


def check_round_trip(unlearner: Unlearner, world: World) -> None:
    """A model that was saved and read back has the same digest, and forgets like the one that was not."""
    for seed, deployment in _served(unlearner, world):
        ids = some_ids(deployment, 0.2, seed)
        after = _run(unlearner, deployment, ids).after
        restored(after)
        saved = restored(deployment)
        if saved is None or not _exact(unlearner, deployment):
            continue
        again = _run(unlearner, saved, ids).after.model.digest()
        hold(again == after.model.digest(), "a model that was saved and read back forgets differently")


def check_reproducible(unlearner: Unlearner, world: World) -> None:
    """The same deployment and request give the same model, and no global generator is drawn from."""
    for seed, deployment in _served(unlearner, world):
        ids = some_ids(deployment, 0.2, seed)
        with quiet_globals("unlearn"):
            one = _run(unlearner, deployment, ids).after.model.digest()
        hold(_run(unlearner, deployment, ids).after.model.digest() == one, "two equal runs give different models")


def check_predicts_without_touching(unlearner: Unlearner, world: World) -> None:
    """`promise` and `predict_cost` answer without changing anything; the outcome keeps the promise's kind."""
    for seed, deployment in _served(unlearner, world):
        before, request = portrait(deployment), _request(some_ids(deployment, 0.2, seed))
        with quiet_globals("predict_cost"):
            promise, told = unlearner.promise(deployment), unlearner.predict_cost(deployment, request)
        hold(isinstance(told, Prediction), "predict_cost does not return a Prediction")
        odd = changed(before, deployment)
        hold(not odd, f"predict_cost changed the deployment: {odd}")
        outcome = unlearner.unlearn(deployment, request)
        hold(outcome.guarantee.at_least(promise.kind), f"{promise.kind} was promised, {outcome.guarantee.kind} given")
        hold(outcome.cost.seconds >= 0, "the outcome does not say what it cost")
