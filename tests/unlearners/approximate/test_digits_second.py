"""Methods U13 to U32 (second half) on `stack` (spec 12.2): digits with 15 % wrong labels, a network of 128 units."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sklearn.datasets import load_digits  # noqa: E402
from unlearners.approximate.by_hand import kl, softmax  # noqa: E402

from expunge import catalog  # noqa: E402
from expunge.core.dataset import Dataset  # noqa: E402
from expunge.core.deployment import Deployment  # noqa: E402
from expunge.core.request import ForgetRequest  # noqa: E402
from expunge.core.seeds import Key  # noqa: E402
from expunge.models.network import Network  # noqa: E402
from expunge.unlearners.approximate.matching import Matching  # noqa: E402
from expunge.unlearners.approximate.scrub import Scrub  # noqa: E402

TOWARD = [catalog.build("unlearner", name) for name in ("scrub", "sparse", "matching")]
AWAY = (
    "bad-teacher unsir gap delete saliency dampening small-gradients confuse prune transpose distil-reset random-layers"
)


@cache
def worlds(draw, m=4, epochs=60):
    """Return deployments, what each forgets, and the networks that were retrained without it, under other keys."""
    rng = np.random.default_rng(draw)
    X, y = load_digits(return_X_y=True)
    wrong = rng.random(len(y)) < 0.15
    y[wrong] = rng.integers(0, 10, wrong.sum())
    whole = Dataset.from_vectors((X / 16).astype(np.float32), y.astype(str))
    whole = replace(whole, classes=tuple(str(c) for c in range(10)))
    aside = np.zeros(len(y), bool)
    aside[rng.choice(len(y), 297, replace=False)] = True
    mask = (rng.random((m, len(y))) < 0.5) & ~aside
    forgotten = mask & (rng.random(mask.shape) < 0.2)
    learner = Network((128,), epochs=epochs, batch=64, optimiser="sgd", rate=0.05, form="plain")
    keys = [Key.public(f"{draw}/{i}") for i in range(m)]
    before = learner.fit_many(whole, mask, keys).models()
    after = learner.fit_many(whole, mask & ~forgotten, [key.child("again") for key in keys]).models()
    given = [
        Deployment(learner, whole.take(rows), key, model, whole.take(aside), fit_s=1.0)
        for rows, key, model in zip(mask, keys, before, strict=True)
    ]
    return given, [whole.take(rows) for rows in forgotten], after


def signals(model, data):
    """Return φ = z_y − log Σ_{c≠y} e^{z_c} of each record."""
    z = model.logits(data)
    own = np.eye(10, dtype=bool)[np.asarray(data.target.values).astype(int)]
    return z[own] - np.log(np.where(own, 0.0, np.exp(z - z.max(1, keepdims=True))).sum(1)) - z.max(1)


def distance(models, draw):
    """Return the root mean square of φ less a retrained network's, over the forgotten records."""
    _, forgotten, references = worlds(draw)
    apart = [signals(m, data) - signals(r, data) for m, r, data in zip(models, references, forgotten, strict=True)]
    return float(np.sqrt(np.mean(np.concatenate(apart) ** 2)))


def unlearned(method, draw):
    given, forgotten, _ = worlds(draw)
    return [
        method.unlearn(d, ForgetRequest(records=tuple(data.ids.tolist()))).after.model
        for d, data in zip(given, forgotten, strict=True)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("method", TOWARD, ids=repr)
def test_towards_retraining_in_three_of_three_draws(method):
    for draw in range(3):
        assert distance(unlearned(method, draw), draw) < distance([d.model for d in worlds(draw)[0]], draw)


@pytest.mark.slow
def test_contrast_and_bad_teacher_hardly_move():
    """U14, U24: their published steps are few and small for a thousand records; nothing is claimed of them here."""
    before = distance([d.model for d in worlds(0)[0]], 0)
    for name in ("contrast", "bad-teacher"):
        assert abs(distance(unlearned(catalog.build("unlearner", name), 0), 0) - before) < 0.1


@pytest.mark.slow
def test_oracle_matching_bounds_the_others():
    """U32: nobody comes nearer by fine-tuning than the one who is told what the retrained network answers."""
    best = distance(unlearned(Matching(oracle=True), 0), 0)
    assert all(best < distance(unlearned(method, 0), 0) for method in TOWARD)


def test_scrub_after_one_ascent():
    """U13: after msteps = 1, everything else as published, the divergence on forgotten records is above 1e-3."""
    given, forgotten, _ = worlds(0, 1, 10)
    after = Scrub(msteps=1).unlearn(given[0], ForgetRequest(records=tuple(forgotten[0].ids.tolist()))).after.model
    assert kl(softmax(given[0].model.logits(forgotten[0])), softmax(after.logits(forgotten[0]))) > 1e-3


def test_the_tag_and_the_number_go_together():
    """A method that its defaults move away from retraining says by how much, and its entry is tagged."""
    tags = {entry.name: entry.tags for entry in catalog.ENTRIES if entry.role == "unlearner"}
    for name in AWAY.split():
        assert catalog.build("unlearner", name).away
        assert "not-toward-retrain" in tags[name]
    for name in ("scrub", "sparse", "matching", "contrast"):
        assert not catalog.build("unlearner", name).away
        assert not tags[name]
