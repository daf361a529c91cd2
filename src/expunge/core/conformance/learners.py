"""What every learner must hold, and more where its model can forget, remember or be restored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from expunge.core.archive import pack
from expunge.core.conformance.batches import hard_batches
from expunge.core.conformance.watch import (
    ConformanceFailure,
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
from expunge.core.dataset import Dataset
from expunge.core.deployment import Deployment, Prediction
from expunge.core.errors import BadData, BadTarget, ClassVanished, DuplicateId, NothingLeft, UnknownRecord
from expunge.core.request import Id
from expunge.core.roles import Forgets, Learner, Learns, Predicts
from expunge.core.seeds import Key
from expunge.core.tiny import deploy

Records = Callable[[int], Dataset]
"""Seed → a fresh data set."""

SEEDS = (0, 1, 2, 3)


def _fitted(learner: Learner, records: Records) -> Iterator[tuple[int, Deployment]]:
    for seed in SEEDS:
        yield seed, deploy(learner, records(seed), seed)


def _forgetful(learner: Learner, records: Records) -> Iterator[tuple[int, Deployment, Forgets]]:
    for seed, deployment in _fitted(learner, records):
        if isinstance(deployment.model, Forgets):
            yield seed, deployment, deployment.model


def check_order_of_records_is_free(learner: Learner, records: Records) -> None:
    """A model is a function of the set of records: any order gives the same bits."""
    for seed, deployment in _fitted(learner, records):
        order = Key.public(seed).generator("order").permutation(len(deployment.data))
        again = learner.fit(deployment.data.take(order), deployment.key)
        hold(again.digest() == deployment.model.digest(), "the order of the records changes the model")


def check_reproducible_from_key(learner: Learner, records: Records) -> None:
    """The same key and records give the same model, and no global generator is drawn from."""
    for _, deployment in _fitted(learner, records):
        with quiet_globals("fit"):
            again = learner.fit(deployment.data, deployment.key)
        hold(again.digest() == deployment.model.digest(), "two fits with one key give different models")


def check_fit_leaves_data(learner: Learner, records: Records) -> None:
    """Fitting, predicting and asking for the state change neither the data nor the model."""
    for _, deployment in _fitted(learner, records):
        before = portrait(deployment)
        learner.fit(deployment.data, deployment.key)
        odd = changed(before, deployment)
        hold(not odd, f"fitting again changed: {odd}")


def check_losses(learner: Learner, records: Records) -> None:
    """Losses are finite float64, one a record, and do not depend on which other records are asked about."""
    for _, deployment in _fitted(learner, records):
        for data in (deployment.data, deployment.holdout):
            if data is None:
                continue
            losses = deployment.model.losses(data)
            hold(losses.shape == (len(data),) and losses.dtype == np.float64, "losses are not float64 of shape (n,)")
            hold(bool(np.isfinite(losses).all()), "a loss is not finite")
            few = deployment.model.losses(data.take(np.arange(len(data))[::2]))
            hold(
                bool(np.allclose(few, losses[::2], rtol=1e-9, atol=1e-12)), "a loss depends on the other records asked"
            )
            none = deployment.model.losses(data.take(np.array([], np.int64)))
            hold(none.shape == (0,), "no records should give no losses")


def check_logits(learner: Learner, records: Records) -> None:
    """A classifier's logits are finite and of shape (n, k)."""
    for _, deployment in _fitted(learner, records):
        model, target = deployment.model, deployment.data.target
        if not isinstance(model, Predicts) or target is None or target.kind != "category":
            continue
        logits = model.logits(deployment.data)
        k = len(deployment.data.classes or target.vocabulary)
        hold(logits.shape == (len(deployment.data), k), "logits are not of shape (n, k)")
        hold(not np.isnan(logits).any(), "a logit is not a number")


def check_saved_and_restored(learner: Learner, records: Records) -> None:
    """Arrays hold no Python objects, and a model read back from them equals the one that was saved."""
    for _, deployment in _fitted(learner, records):
        objects = [name for name, a in arrays_of(deployment.model).items() if np.asarray(a).dtype.hasobject]
        hold(not objects, f"these arrays hold Python objects: {', '.join(objects)}")
        restored(deployment)


def check_forgetting_is_whole(learner: Learner, records: Records) -> None:
    """A model with one of `without` and `plan` has both: with one alone, nothing of its forgetting would be checked."""
    for _, deployment in _fitted(learner, records):
        there = [name for name in ("without", "plan") if hasattr(deployment.model, name)]
        hold(len(there) != 1, f"a model that forgets has `without(ids)` and `plan(ids)`; this one has only {there}")


def check_forgets_exactly(learner: Learner, records: Records) -> None:
    """`without` gives the bits of a fit on the kept records: one, many, most, in any order, and nothing for nothing."""
    for seed, deployment, model in _forgetful(learner, records):
        hold(model.without(()).digest() == deployment.model.digest(), "forgetting nothing changes the model")
        for share in (0.02, 0.3, 0.7):
            ids = some_ids(deployment, share, seed)
            reference = refit(deployment, ids)
            for way in (ids, ids[::-1]):
                after = model.without(way)
                what = f"after forgetting {len(ids)} of {len(deployment.data)} records"
                hold(after.digest() == reference.digest(), f"{what} the model differs from one learnt without them")
                odd = unequal(arrays_of(after), arrays_of(reference))
                hold(not odd, f"{what} these arrays differ from a fresh fit's: {odd}")


def check_forgets_hard_batches(learner: Learner, records: Records) -> None:
    """`without` is exact where deletions hurt: columns turn constant, categories vanish, n crosses a power of two …"""
    for seed, deployment, model in _forgetful(learner, records):
        if seed > 1:  # two worlds, of about twenty batches each
            return
        for name, ids in hard_batches(deployment.data):
            after, reference = model.without(ids), refit(deployment, ids)
            hold(after.digest() == reference.digest(), f"after forgetting {name} the model differs from a fresh fit's")
            odd = unequal(arrays_of(after), arrays_of(reference))
            hold(not odd, f"after forgetting {name} these arrays differ from a fresh fit's: {odd}")


def check_forgets_one_by_one(learner: Learner, records: Records) -> None:
    """A sequence of deletions equals its batch, also after a save in the middle."""
    for seed, deployment, model in _forgetful(learner, records):
        ids = some_ids(deployment, 0.5, seed)
        step: Forgets = model
        for done, value in enumerate(ids, 1):
            after = step.without((value,))
            hold(isinstance(after, Forgets), "a model that has forgotten cannot forget again")
            if isinstance(after, Forgets):
                step = after
            if done % 3 == 0:  # what is wrong for a while only is wrong
                same = after.digest() == refit(deployment, ids[:done]).digest()
                hold(same, f"after {done} single deletions the model differs from one learnt without them")
        batch = arrays_of(model.without(ids))
        odd = unequal(batch, arrays_of(step))  # type: ignore[arg-type]  # a model that forgets is a model
        hold(not odd, f"one by one, these arrays differ from the batch's: {odd}")
        half = ids[: len(ids) // 2]
        left = replace(
            deployment, model=model.without(half), data=deployment.data.without(half) if half else deployment.data
        )
        saved = restored(left)
        if saved is not None and isinstance(saved.model, Forgets):
            odd = unequal(batch, arrays_of(saved.model.without(ids[len(half) :])))
            hold(not odd, f"with a save in the middle, these arrays differ from the batch's: {odd}")


def check_saved_bytes_have_no_history(learner: Learner, records: Records) -> None:
    """What is saved is a function of the kept records, byte for byte: not of what was forgotten before."""
    for seed, deployment, model in _forgetful(learner, records):
        ids = some_ids(deployment, 0.4, seed)
        fresh = pack(arrays_of(refit(deployment, ids)))
        twice = model.without(ids[1::2])
        ways = [model.without(ids)] + ([twice.without(ids[::2])] if isinstance(twice, Forgets) else [])
        for after in ways:
            hold(pack(arrays_of(after)) == fresh, "the saved bytes tell that records were forgotten, or when")


def check_forgetting_fails_cleanly(learner: Learner, records: Records) -> None:
    """Unknown ids, all ids and a class that would vanish are errors that change nothing."""
    for _, deployment, model in _forgetful(learner, records):
        before, data = portrait(deployment), deployment.data
        strange: Id = "no such record" if data.ids.dtype.kind != "i" else -987654321
        with fails((UnknownRecord,), "forgetting an unknown record"):
            model.without((strange,))
        with fails((NothingLeft,), "forgetting every record"):
            model.without(data.ids.tolist())
        target = data.target
        if target is not None and target.kind == "category" and not data.classes:
            with fails((ClassVanished,), "forgetting the last record of a class"):
                model.without(data.ids[target.values == 0].tolist())
        odd = changed(before, deployment)
        hold(not odd, f"a deletion that failed changed the model: {odd}")


def check_plan_changes_nothing(learner: Learner, records: Records) -> None:
    """`plan` returns a prediction and changes nothing; `without` leaves the model before alone."""
    for seed, deployment, model in _forgetful(learner, records):
        before, ids = portrait(deployment), some_ids(deployment, 0.2, seed)
        with quiet_globals("plan"):
            told = model.plan(ids)
        hold(isinstance(told, Prediction), "plan does not return a Prediction")
        model.without(ids)
        odd = changed(before, deployment)
        hold(not odd, f"plan or without changed the model before: {odd}")


def check_learns_exactly(learner: Learner, records: Records) -> None:
    """`adding` gives the bits of a fit on all records, forgets again what it added, and refuses known ids."""
    for seed, deployment in _fitted(learner, records):
        whole, ids = deployment.model, some_ids(deployment, 0.3, seed)
        if not isinstance(whole, Learns):
            return
        part, more = refit(deployment, ids), deployment.data.only(ids)
        before = arrays_of(part)
        after = part.adding(more) if isinstance(part, Learns) else part
        hold(after.digest() == whole.digest(), "after adding records the model differs from one learnt from all")
        odd = unequal(arrays_of(after), arrays_of(whole))
        hold(not odd, f"after adding records these arrays differ from a fresh fit's: {odd}")
        odd = unequal(arrays_of(part), before)
        hold(not odd, f"adding records changed these arrays of the model before: {odd}")
        if isinstance(after, Forgets):
            again = after.without(ids)
            odd = unequal(arrays_of(again), before)
            hold(not odd, f"after adding and forgetting the same records these arrays differ: {odd}")
        with fails((DuplicateId,), "adding a record that is known already"):
            whole.adding(more)


def suits(learner: Learner, records: Records) -> bool:
    """Say whether a learner takes records of this kind.

    Raises:
        ConformanceFailure: it stumbles over them instead of saying `BadTarget` or `BadData`.
    """
    data = records(SEEDS[0])
    try:
        learner.fit(data, Key.public(0))
    except (BadTarget, BadData):
        return False
    except Exception as error:
        raise ConformanceFailure(
            f"fit failed with {type(error).__name__} ({error}) on {_described(data)}: raise BadTarget or BadData for "
            "what is not learnt from, or say which records to check with: check_learner(learner, tiny_world)"
        ) from error
    return True


def _described(data: Dataset) -> str:
    kinds = ", ".join(sorted({column.kind for column in data.columns.values()}))
    return f"columns of {kinds} with {'no target' if data.target is None else f'a target of kind {data.target.kind}'}"
