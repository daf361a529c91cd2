"""The probe of ghosts: a mark leaves the vectors where they were, and building anew does not."""

from __future__ import annotations

import numpy as np
import pytest

from expunge import catalog
from expunge.audit.ghosts import Ghosts
from expunge.core.dataset import Dataset
from expunge.core.deployment import Case, Deployment
from expunge.core.seeds import Key
from expunge.core.tiny import tiny_deployment
from expunge.models.index.adopted import AdoptedIndex
from expunge.models.index.flat import FlatIndex

KEY = Key.public(0)
GONE = list(range(12))


def vectors(n=240, d=16):
    X = np.random.Generator(np.random.PCG64(2)).normal(size=(n, d)).astype(np.float32)
    return Dataset.from_vectors(X), X


def case(deployment, after, gone=GONE):
    kept = deployment.data.without(gone)
    return Case(
        deployment,
        Deployment(deployment.learner, kept, deployment.key, after, deployment.holdout),
        deployment.data.only(gone),
        deployment.holdout,
    )


def adopted(data, X):
    usearch = pytest.importorskip("usearch.index")
    theirs = usearch.Index(ndim=X.shape[1], metric="l2sq", dtype="f32")
    theirs.add(np.arange(len(X)), X)
    return AdoptedIndex.of(theirs, data)


def measured(found):
    return {e.name: (e.value, e.status) for e in found}


def test_xd13_marked_vectors_are_ghosts_and_strangers_are_not():
    data, X = vectors()
    train, held = data.take(np.arange(240) < 200), data.take(np.arange(240) >= 200)
    model = adopted(train, X[:200])
    deployment = Deployment(FlatIndex(), train, KEY, model, held)
    found = catalog.build("probe", "ghosts").measure(case(deployment, model.without(GONE)))
    assert measured(found) == {
        "ghosts.forgotten@before": (1.0, "measured"),
        "ghosts.forgotten@after": (1.0, "measured"),
        "ghosts.holdout@after": (0.0, "measured"),
    }
    assert found[1].null.value == 0.0
    assert found[1].low > 0.7 > found[1].null.high


def test_an_index_that_is_built_anew_has_none():
    data, X = vectors()
    train, held = data.take(np.arange(240) < 200), data.take(np.arange(240) >= 200)
    model = adopted(train, X[:200])
    anew = adopted(train.without(GONE), X[12:200])
    found = Ghosts().measure(case(Deployment(FlatIndex(), train, KEY, model, held), anew))
    assert [e.value for e in found] == [1.0, 0.0, 0.0]


def test_ours_hold_nothing_of_the_forgotten():
    X = np.random.Generator(np.random.PCG64(3)).integers(-9999, 9999, (200, 8)).astype(np.int16)
    data = Dataset.from_vectors(X)
    train, held = data.take(np.arange(200) < 160), data.take(np.arange(200) >= 160)
    model = FlatIndex().fit(train, KEY)
    found = Ghosts().measure(case(Deployment(FlatIndex(), train, KEY, model, held), model.without(GONE)))
    assert [e.value for e in found][1:] == [0.0, 0.0]


def test_vectors_that_others_have_too_are_no_ghosts():
    data, X = vectors()
    X[0] = X[100]
    data = Dataset.from_vectors(X)
    model = adopted(data, X)
    deployment = Deployment(FlatIndex(), data, KEY, model)
    empty = data.take(np.zeros(240, bool))
    after = Deployment(FlatIndex(), data.without([0]), KEY, model.without([0]))
    found = Ghosts().measure(Case(deployment, after, data.only([0]), empty))
    assert {e.status for e in found} == {"not_measured"}
    after = Deployment(FlatIndex(), data.without([0, 1]), KEY, model.without([0, 1]))
    found = Ghosts().measure(Case(deployment, after, data.only([0, 1]), empty))
    assert (found[0].n, found[2].status) == (1, "not_measured")


def test_it_says_what_it_cannot_measure():
    deployment = tiny_deployment(0)
    gone = deployment.data.ids[:3].tolist()
    found = Ghosts().measure(case(deployment, deployment.model.without(gone), gone))
    assert all("no vectors" in e.note for e in found)
    data, X = vectors(d=2)
    model = adopted(data, X)
    found = Ghosts().measure(case(Deployment(FlatIndex(), data, KEY, model, data.take(np.zeros(240, bool))), model))
    assert all("less than 4" in e.note for e in found)
