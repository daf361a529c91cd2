"""Graphs: propagation in whole numbers is the formula, and nodes, links and features are forgotten with all traces."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from expunge import NodeClassifier, Sgc
from expunge.core.columns import Column
from expunge.core.conformance import check_learner, tiny_graph
from expunge.core.conformance.watch import arrays_of, unequal
from expunge.core.dataset import Dataset
from expunge.core.errors import (
    BadData,
    BadInput,
    BadTarget,
    ClassVanished,
    NotFitted,
    NothingLeft,
    StoreDamaged,
    UnknownRecord,
    UnknownSubject,
)
from expunge.core.seeds import Key
from expunge.models.graph.nodes import Nodes, without_features, without_links

KEY = Key.public(0)
DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.mark.parametrize("learner", [Sgc(), Sgc(hops=1, bits=0), Sgc(hops=3, alpha=0.1, bits=9)], ids=repr)
def test_conformance(learner):
    check_learner(learner)


def formula(data, hops):
    """Return (D^-½ (A + I) D^-½)ᴷ X in floats."""
    place = {str(i): row for row, i in enumerate(data.ids.tolist())}
    A = np.eye(len(data))
    for row, code in enumerate(data.columns["links"].values):
        for other in data.columns["links"].vocabulary[code].split():
            if other in place:
                A[row, place[other]] = A[place[other], row] = 1.0
    root = A.sum(axis=1) ** -0.5
    Z = data.columns["vector"].values.astype(float)
    for _ in range(hops):
        Z = root[:, None] * (A @ (root[:, None] * Z))
    return Z


@pytest.mark.parametrize("hops", [1, 2, 4])
def test_propagation_is_the_formula(hops):
    data = tiny_graph(7)
    Z = Nodes.of(data, 1.0).propagated(np.arange(len(data)), hops, 9) / 2.0**9
    assert np.abs(Z - formula(data, hops)).max() < 2.0**-9 * (hops + 1)
    some = np.array([5, 1, 30])
    assert np.array_equal(Nodes.of(data, 1.0).propagated(some, hops, 9), Z[some] * 2**9)


def test_both_forms_of_the_head_agree():
    data = tiny_graph(5)
    wide = np.concatenate([data.columns["vector"].values, np.zeros((len(data), 99), np.uint8)], axis=1)
    other = replace(data, columns={**data.columns, "vector": Column.of_vectors(wide)})
    tall, flat = Sgc().fit(data, KEY), Sgc().fit(other, KEY)
    assert tall.head.sums.shape == (8, 8)
    assert flat.head.sums.shape == (len(data), len(data))
    assert np.allclose(tall.logits(data), flat.logits(other), atol=1e-9)
    Z = formula(data, 2)
    y = np.where(data.target.values[:, None] == np.arange(2), 1.0, -1.0)
    C = Z - Z.mean(axis=0)
    W = np.linalg.solve(C.T @ C + 10 * np.eye(8), C.T @ y)
    assert np.allclose(tall.head.weights[1:] * 2**8, W, atol=0.02)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), share=st.floats(0.02, 0.8))
def test_links_and_features_are_forgotten_exactly(seed, share):
    data, draw = tiny_graph(seed), np.random.Generator(np.random.PCG64(seed))
    ids = data.ids.tolist()
    n = max(1, int(share * len(ids)))
    pairs = [tuple(ids[i] for i in draw.integers(0, len(ids), 2)) for _ in range(4 * n)]
    some = [ids[i] for i in draw.permutation(len(ids))[:n]]
    learner = Sgc(hops=1 + seed % 3)
    model = learner.fit(data, KEY)
    before = arrays_of(model)
    rest = without_links(data, pairs)
    assert unequal(arrays_of(model.without_links(pairs)), arrays_of(learner.fit(rest, KEY))) == ""
    steps = model.without_links(pairs[:3]).without_links(pairs[3:])
    assert unequal(arrays_of(steps), arrays_of(learner.fit(rest, KEY))) == ""
    blank = without_features(data, some)
    assert unequal(arrays_of(model.without_features(some)), arrays_of(learner.fit(blank, KEY))) == ""
    assert unequal(arrays_of(model), before) == ""


def test_the_head_changes_its_form_with_the_number_of_nodes():
    data = replace(tiny_graph(0), classes=("art", "law"))
    model = Sgc().fit(data, KEY)
    few = data.ids[7:].tolist()
    after = model.without(few)
    assert (model.head.sums.shape, after.head.sums.shape) == ((8, 8), (7, 7))
    assert unequal(arrays_of(after), arrays_of(Sgc().fit(data.without(few), KEY))) == ""


def test_neighbours_keep_no_name_of_a_forgotten_node():
    data = tiny_graph(3)
    gone = data.ids[4:9].tolist()
    after = Sgc().fit(data, KEY).without(gone)
    named = {name for links in after.data.columns["links"].vocabulary for name in links.split()}
    assert not named & set(gone)
    assert after.data.digest == data.without(gone).digest


def test_nodes_without_a_class_are_in_the_graph_and_not_learnt_from():
    data = tiny_graph(2)
    words = ["?" if i % 3 else data.target.vocabulary[c] for i, c in enumerate(data.target.values.tolist())]
    half = replace(data, target=Column.of_texts(words), classes=())
    model = Sgc(unlabelled="?").fit(half, KEY)
    assert model.labels == ("art", "law")
    assert len(model.head.Z) == words.count("art") + words.count("law")
    assert not np.allclose(model.logits(half), Sgc().fit(data, KEY).logits(data))
    gone = [i for i, word in zip(half.ids.tolist(), words, strict=True) if word == "?"][:4]
    after = model.without(gone)
    assert unequal(arrays_of(after), arrays_of(Sgc(unlabelled="?").fit(half.without(gone), KEY))) == ""


def test_strangers_read_the_graph_and_do_not_change_it():
    data = tiny_graph(4)
    model = Sgc().fit(data, KEY)
    digest, known = model.digest(), model.logits(data)
    row = data.take(np.array([2]))
    links = [row.columns["links"].vocabulary[0].split()]
    stranger = replace(row, ids=np.array([987654]), columns={**row.columns, "links": Column.of_links(links)})
    lonely = replace(stranger, columns={**row.columns, "links": Column.of_links([[]])})
    assert not np.allclose(model.logits(lonely), model.logits(stranger))
    assert np.allclose(model.logits(data), known)
    both = replace(data.take(np.array([0, 1])), ids=np.array([987654, data.ids[1]]))
    assert np.allclose(model.logits(both)[1], known[1])
    assert model.digest() == digest


def test_vectors_of_real_numbers_are_measured_in_steps():
    data = tiny_graph(1)
    halves = replace(data, columns={**data.columns, "vector": Column.of_vectors(data.columns["vector"].values / 2.0)})
    assert np.array_equal(Nodes.of(halves, 0.5).features, data.columns["vector"].values)


def test_bad_input_is_said():
    data = tiny_graph(1)
    with pytest.raises(BadData, match="one column of vector"):
        Sgc().fit(replace(data, columns={"links": data.columns["links"]}), KEY)
    with pytest.raises(BadTarget):
        Sgc().fit(replace(data, target=None), KEY)
    for wrong in ({"hops": 0}, {"bits": 10}, {"alpha": 0.0}, {"step": -1}):
        with pytest.raises(BadInput, match=next(iter(wrong))):
            Sgc(**wrong).fit(data, KEY)
    model = Sgc().fit(data, KEY)
    for ask in (model.without_features, lambda ids: model.without_links([(ids[0], data.ids[0])])):
        with pytest.raises(UnknownRecord):
            ask(["nobody knows"])
    with pytest.raises(UnknownRecord, match="already"):
        model.without(data.ids[:1].tolist()).without(data.ids[:1].tolist())
    arrays = arrays_of(model)
    for broken in ({}, {**arrays, "sums": arrays["sums"] + 1}, {**arrays, "weights": arrays["weights"][:2]}):
        with pytest.raises(StoreDamaged):
            Sgc().restore(broken, data, KEY)


def test_estimator():
    X = np.array([[3, 0], [2, 0], [0, 2], [0, 3], [1, 1], [0, 0]])
    links, y = [("a", "b"), ("c", "d"), ("d", "e"), ("a", "f")], ["x", "x", "?", "?", None, None]
    model = NodeClassifier(alpha=1.0).fit(X, links, y, ids=list("abcdef"), subjects=list("pppqqq"))
    assert model.predict(["e", "f"]).tolist() == ["?", "x"]
    before = model.digest()
    with pytest.raises(ClassVanished):
        model.forget(["c", "d"])
    for kind, asked in (
        (UnknownRecord, {"ids": ["a", "z"]}),
        (UnknownSubject, {"subjects": ["nobody"]}),
        (NothingLeft, {"ids": list("abcdef")}),
        (BadInput, {}),
        (BadInput, {"ids": "a"}),
    ):
        with pytest.raises(kind):
            model.forget(**asked)
        with pytest.raises(kind):
            model.plan(**asked)
    assert model.digest() == before
    fresh = clone(model).fit(X[1:], links[1:3], y[1:], ids=list("bcdef"))
    assert model.forget(["a"]).digest() == fresh.digest()
    assert model.ids_.tolist() == list("bcdef")
    plain = clone(model).fit(X[1:], links[1:2], y[1:], ids=list("bcdef"))
    assert model.forget_links([("e", "d")]).digest() == plain.digest()
    assert model.forget_features(["f"]).digest() == plain.digest(), "there were none"
    assert model.guarantee().grade == "bits-here"
    assert clone(model).fit(X.astype(float) / 2, links, y, ids=list("abcdef")).predict(["f"]).tolist() == ["x"]
    with pytest.raises(BadInput, match="not among"):
        clone(model).fit(X, [("a", "z")], y, ids=list("abcdef"))
    with pytest.raises(NotFitted):
        NodeClassifier().predict([1])


def test_estimator_takes_arrays_and_gives_labels_back_as_they_were():
    X, links, y = np.eye(4, dtype=np.int8), np.array([(0, 1), (2, 3)]), np.array([3.0, 3.0, 7.0, np.nan])
    model = NodeClassifier(alpha=0.1).fit(X, links, y, subjects=np.array([1, 1, 2, 3]))
    assert model.predict(np.array([0, 3])).tolist() == [3.0, 7.0]
    before = model.digest()
    assert model.forget(np.zeros(0, int)).digest() == before
    assert model.forget_links(links[1:]).predict(np.array([2])).tolist() == [7.0]
    with pytest.raises(BadTarget, match="no node has a class"):
        NodeClassifier().fit(X, links, [None] * 4)


def test_the_last_node_without_a_class_can_go():
    X, links = np.eye(4, dtype=np.int8), [(0, 1), (2, 3)]
    model = NodeClassifier().fit(X, links, ["a", "b", "a", None])
    assert model.forget([3]).digest() == NodeClassifier().fit(X[:3], links[:1], ["a", "b", "a"]).digest()
    with pytest.raises(ClassVanished):
        model.forget([1])
    whole = Dataset(
        {"v": Column.of_vectors(X), "l": Column.of_links([[], [], [], []])},
        np.arange(4),
        np.arange(4),
        Column.of_texts(["?", "?", "?", "?"]),
    )
    with pytest.raises(BadTarget):
        Sgc(unlabelled="?").fit(whole, KEY)


def test_a_name_in_another_form_of_unicode_is_the_same_node():
    written, composed = "e\u0301va", "\u00e9va"
    graph = Dataset(
        {"v": Column.of_vectors(np.eye(3, dtype=np.int8)), "l": Column.of_links([[written], ["a"], []])},
        np.array(["a", "b", composed]),
        np.array(["a", "b", composed]),
        Column.of_texts(["x", "y", "x"]),
    )
    model = Sgc().fit(graph, KEY)
    assert model.nodes.around(np.array([2]), 1).tolist() == [0, 2]
    assert model.without_links([("a", written)]).data.columns["l"].vocabulary == ("", "a")
    after = model.without([composed])
    assert after.digest() == Sgc().fit(graph.without([written]), KEY).digest()
    assert after.data.columns["l"].vocabulary == ("", "a"), "no neighbour keeps the name"


def test_nothing_of_a_forgotten_node_is_kept_once_the_state_is_read():
    X = np.random.default_rng(0).integers(0, 9, (6, 5)).astype(np.int16)
    X[5] = [31001, 31003, 31007, 31009, 31011]
    links = [("marker-node", "u"), ("v", "marker-node"), ("w", "x")]
    model = NodeClassifier().fit(X, links, list("abaaba"), ids=[*"uvwxy", "marker-node"]).model_
    after = model.without(["marker-node"])
    for marker in (X[5].tobytes(), b"marker-node"):
        assert marker in pickle.dumps(after), "the control: before it is read, it is only marked"
    after.digest()
    for marker in (X[5].tobytes(), b"marker-node"):
        assert marker not in pickle.dumps(after)
        assert not any(marker in array.tobytes() for array in (*after.state().values(), *after.memory().values()))


def changed(draw, model, kept):
    """Return (model, graph) after one random change of either."""
    ids = kept.ids
    kind = draw.integers(3)
    if kind == 0 and len(kept) > 1:
        gone = draw.choice(ids, int(draw.integers(1, len(ids))), replace=False).tolist()
        return model.without(gone), kept.without(gone)
    if kind == 1:
        pairs = [tuple(draw.choice(ids, 2).tolist()) for _ in range(3)]
        return model.without_links(pairs), without_links(kept, pairs)
    bare = draw.choice(ids, 1).tolist()
    return model.without_features(bare), without_features(kept, bare)


@pytest.mark.parametrize("seed", range(40))
def test_any_graph_and_any_history(seed):
    """Self loops, links that name nobody, isolated nodes, huge features, one node left, nobody with a class left."""
    draw = np.random.default_rng(seed)
    n, d = int(draw.integers(2, 25)), int(draw.integers(1, 12))
    ids = np.array([f"n{j}" for j in range(n)]) if seed % 2 else draw.permutation(n * 3)[:n] - n
    X = (draw.normal(size=(n, d)) * 1e30).astype(np.float32) if seed % 3 else draw.integers(-32768, 32767, (n, d))
    names = [str(i) for i in ids.tolist()]
    links = [
        [*draw.choice(names, int(draw.integers(0, 3))), own, *["nobody"][: int(draw.integers(2))]] for own in names
    ]
    graph = Dataset(
        {"v": Column.of_vectors(X.astype(np.int16) if X.dtype.kind == "i" else X), "l": Column.of_links(links)},
        ids,
        ids,
        Column.of_texts(draw.choice(["a", "b", "?"], n).tolist()),
        classes=("a", "b", "?"),
    )
    learner = Sgc(hops=int(draw.integers(1, 5)), bits=int(draw.integers(0, 10)), unlabelled="?")
    before = learner.fit(graph, KEY)
    digest, model, kept = before.digest(), before, graph
    for _ in range(4):
        model, kept = changed(draw, model, kept)
        fresh = learner.fit(kept, KEY)
        for mine, theirs in ((model.state(), fresh.state()), (model.memory(), fresh.memory())):
            assert all(np.array_equal(mine[name], theirs[name]) for name in theirs)
        assert model.data.digest == kept.digest
    assert before.digest() == digest


@pytest.mark.data
@pytest.mark.parametrize("name", ["cora", "citeseer"])
def test_citation_graphs(name):
    path = DATA / "planetoid" / f"{name}.npz"
    if not path.is_file():
        pytest.skip("the citation graphs are not beside the checkout")
    z = np.load(path)
    n, d = z["shape"].tolist()
    X = np.zeros((n, d), np.uint8)
    X[np.repeat(np.arange(n), np.diff(z["feat_indptr"])), z["feat_indices"].astype(int)] = 1
    links = [[] for _ in range(n)]
    for a, b in z["edges"].tolist():
        links[a].append(b)
    y = np.full(n, "?", object)
    y[z["train_idx"]] = [f"class {c}" for c in z["labels"][z["train_idx"]]]
    columns = {"vector": Column.of_vectors(X), "links": Column.of_links(links)}
    data = Dataset(columns, np.arange(n), np.arange(n), Column.of_texts(y.tolist()))
    learner = Sgc(unlabelled="?")
    model = learner.fit(data, KEY)
    test = data.only(z["test_idx"].tolist())
    truth = np.array([f"class {c}" for c in z["labels"][z["test_idx"]]])
    ours = (np.array(model.labels)[model.logits(test).argmax(axis=1)] == truth).mean()
    Z = formula(data, 2)
    rows = z["train_idx"]
    C, Y = Z[rows] - Z[rows].mean(axis=0), 2.0 * np.eye(len(model.labels))[z["labels"][rows]] - 1
    a = np.linalg.solve(C @ C.T + 10 * np.eye(len(rows)), Y - Y.mean(axis=0))
    scores = (Z[z["test_idx"]] - Z[rows].mean(axis=0)) @ C.T @ a + Y.mean(axis=0)
    floats = (scores.argmax(axis=1) == z["labels"][z["test_idx"]]).mean()
    assert ours > floats - 0.02
    draw = np.random.Generator(np.random.PCG64(0))
    gone = [*draw.permutation(rows)[:20].tolist(), *draw.permutation(z["val_idx"])[:20].tolist()]
    after = model
    for start in range(0, 40, 8):
        after = after.without(gone[start : start + 8])
    assert unequal(arrays_of(after), arrays_of(learner.fit(data.without(gone), KEY))) == ""
    pairs = [tuple(pair) for pair in z["edges"][draw.permutation(len(z["edges"]))[:50]].tolist()]
    fresh = learner.fit(without_links(data, pairs), KEY)
    assert unequal(arrays_of(model.without_links(pairs)), arrays_of(fresh)) == ""
    fresh = learner.fit(without_features(data, gone), KEY)
    assert unequal(arrays_of(model.without_features(gone)), arrays_of(fresh)) == ""
