"""Vector indexes: answers of a search by hand, the bits of a fresh index after any deletions, no byte left behind."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.estimator_checks import parametrize_with_checks

import expunge
from expunge.core.archive import pack
from expunge.core.conformance import check_learner, tiny_vectors
from expunge.core.dataset import Dataset
from expunge.core.errors import BadData, BadInput, DuplicateId, NothingLeft, StoreDamaged, UnknownRecord
from expunge.core.seeds import Key, id_bytes
from expunge.models.index import model as index_model
from expunge.models.index.adopted import AdoptedIndex, ghosts
from expunge.models.index.flat import FlatIndex, HashedIndex
from expunge.models.index.vectors import METRICS, Vectors, distances

usearch = pytest.importorskip("usearch.index")
from expunge.models.index.graph import GraphIndex  # noqa: E402 - its library is an extra

LEARNERS = [
    FlatIndex(shard_size=9),
    FlatIndex("euclidean"),
    FlatIndex("dot", shard_size=9),
    HashedIndex(n_planes=3, n_probes=2),
    HashedIndex("euclidean", n_planes=2),
    GraphIndex(shard_size=9),
    GraphIndex("euclidean", shard_size=30),
]
every = pytest.mark.parametrize("learner", LEARNERS, ids=str)


def vectors(seed, n=60, d=8, kind="float32"):
    draw = np.random.Generator(np.random.PCG64(seed))
    X = draw.normal(size=(n, d)) * 40
    X[n // 2 :] = X[: n - n // 2]  # twins: ties everywhere
    X[3] = 0
    ids = draw.permutation(n) - n // 2
    return Dataset.from_vectors(X.astype(kind), ids=ids, subjects=np.arange(n) // 3)


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks([expunge.VectorIndex(), expunge.VectorIndex("hashed"), expunge.VectorIndex("graph")])
def test_scikit_learn_accepts_it(estimator, check):
    check(estimator)


@every
def test_every_check_of_the_suite_holds_for_vectors(learner):
    check_learner(learner, lambda seed: tiny_vectors(seed, target=None))


def by_hand(data, query, k, metric):
    """Return the k nearest ids, found with exact fractions of the codes."""
    held, asked = Vectors.of(data.columns["x"].values), Vectors.of(query[None])

    def far(row):
        a = asked.codes[0].astype(object) * 2 ** (int(asked.exponents[0]) + 40)
        b = held.codes[row].astype(object) * 2 ** (int(held.exponents[row]) + 40)
        dot, aa, bb = (a * b).sum(), (a * a).sum(), (b * b).sum()
        if metric == "euclidean":
            return aa - 2 * dot + bb
        if metric == "dot":
            return -dot
        return 1.0 - float(dot) / (float(aa) ** 0.5 * float(bb) ** 0.5) if aa and bb else 1.0

    ids = data.ids.tolist()
    rank = sorted(range(len(ids)), key=lambda row: (round(far(row), 9), id_bytes(ids[row])))
    return [ids[row] for row in rank[:k]]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", ["float32", "int16", "int8"])
def test_a_flat_search_is_a_search_by_hand(metric, kind):
    data = vectors(1, kind=kind)
    model = FlatIndex(metric, shard_size=10).fit(data, Key.public(0))
    queries = np.random.Generator(np.random.PCG64(9)).normal(size=(12, 8)).astype(np.float32) * 30
    queries[0], queries[1] = data.columns["x"].values[5], 0
    if kind == "float32":
        model_queries = Dataset.from_vectors(queries)
    else:
        queries = queries.astype(kind)
        model_queries = Dataset.from_vectors(queries)
    ids, far = model.search(model_queries, 7)
    assert (np.diff(far, axis=1) >= -1e-12).all()
    for row, query in enumerate(queries):
        assert ids[row].tolist() == by_hand(data, query, 7, metric), row


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.sampled_from(LEARNERS), st.floats(0.02, 0.9), st.booleans())
def test_forgetting_equals_never_having_held(seed, learner, share, texts):
    data, key = vectors(seed, n=40), Key.public(seed)
    if texts:
        data = Dataset.from_vectors(data.columns["x"].values, ids=[f"r{i}ß" for i in data.ids], subjects=data.subjects)
    draw = np.random.Generator(np.random.PCG64(seed))
    gone = draw.permutation(data.ids)[: max(1, int(share * len(data)))].tolist()
    model = learner.fit(data, key)
    reference = learner.fit(data.without(gone), key)
    one_by_one = model
    for value in gone[: len(gone) // 2]:
        one_by_one = one_by_one.without([value])
    one_by_one = one_by_one.without(gone[len(gone) // 2 :])
    for after in (one_by_one, model.without(gone)):
        assert after.digest() == reference.digest()
        assert pack(after.state()) == pack(reference.state())
    again = reference.adding(data.only(gone))
    assert again.digest() == model.digest()
    assert learner.fit(model.data, key).digest() == model.digest()  # what it keeps of the records gives it again


@pytest.mark.parametrize(
    "learner", [FlatIndex(shard_size=200), HashedIndex(n_planes=4), GraphIndex(shard_size=300)], ids=str
)
@pytest.mark.parametrize("seed", range(5))
def test_answers_equal_a_fresh_index_after_a_tenth_is_forgotten(learner, seed):
    draw = np.random.Generator(np.random.PCG64(seed))
    X = draw.normal(size=(1500, 12)).astype(np.float32)
    data, key = Dataset.from_vectors(X), Key.public(f"key-{seed}")
    gone = draw.permutation(1500)[:150]
    model = learner.fit(data, key)
    for part in np.array_split(gone, 6):
        model = model.without(part.tolist())
    fresh = learner.fit(data.without(gone.tolist()), key)
    queries = Dataset.from_vectors(draw.normal(size=(1000, 12)).astype(np.float32))
    for mine, theirs in zip(model.search(queries, 10), fresh.search(queries, 10), strict=True):
        assert np.array_equal(mine, theirs)
    assert not np.isin(model.search(queries, 10)[0], gone).any()


@every
def test_no_byte_of_a_forgotten_vector_is_left(learner):
    draw = np.random.Generator(np.random.PCG64(5))
    X = draw.normal(size=(80, 8)).astype(np.float32)
    data = Dataset.from_vectors(X)
    model = learner.fit(data, Key.public(0))
    marked = data.only([7])
    forms = [model.coder.encode(marked).codes, X[7:8]]
    assert ghosts(model.state(), forms[0]).all()
    after = model.without([7])
    written = {"file": np.frombuffer(pack(after.state()), np.uint8)}
    for form in forms:
        assert not ghosts(after.state(), form).any()
        assert not ghosts(written, form).any()
        assert not ghosts({"kept": after.data.columns["x"].values}, form).any()
    held = [s.vectors.codes for s in after.shards.values()] + [s.ids for s in after.shards.values()]
    assert not any((codes == forms[0]).all(axis=1).any() for codes in held[: len(held) // 2])
    assert not any((ids == 7).any() for ids in held[len(held) // 2 :])
    bases = [s.vectors.codes.base for s in after.shards.values()]
    assert not any(base is not None and len(base) == len(X) for base in bases)  # no view of what held it


def test_a_deletion_touches_one_shard():
    data = vectors(2, n=400)
    model = FlatIndex(shard_size=30).fit(data, Key.public(0))
    after = model.without([int(data.ids[0])])
    shared = [place for place in after.shards if after.shards[place] is model.shards.get(place)]
    assert len(shared) == len(model.shards) - 1
    assert model.plan([int(data.ids[0])]).parts_touched == 1
    assert model.plan([int(data.ids[0])]).records_read < 100


def test_a_subject_lies_together():
    data = vectors(2, n=400)
    model = FlatIndex(shard_size=30).fit(data, Key.public(0))
    assert model.plan(list(data.owned_by(17))).parts_touched == 1


def test_buckets_find_most_of_the_nearest_and_all_when_all_are_walked():
    draw = np.random.Generator(np.random.PCG64(1))
    centres = draw.normal(size=(30, 24))
    X = (centres[draw.integers(0, 30, 3000)] + 0.3 * draw.normal(size=(3000, 24))).astype(np.float32)
    data, queries = Dataset.from_vectors(X), Dataset.from_vectors(X[:200] + np.float32(0.05))
    truth = FlatIndex().fit(data, Key.public(0)).search(queries, 10)[0]

    def recall(learner):
        found = learner.fit(data, Key.public(0)).search(queries, 10)[0]
        return np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found.tolist(), truth.tolist(), strict=True)])

    assert recall(HashedIndex(n_planes=6, n_probes=64)) == 1
    assert recall(HashedIndex(n_planes=6, n_probes=8)) > 0.6
    assert recall(GraphIndex(shard_size=1000)) > 0.95


@every
def test_k_is_met_and_blocks_do_not_show(learner, monkeypatch):
    data = vectors(4, n=30)
    model = learner.fit(data, Key.public(0))
    whole = model.search(data, 10)
    assert model.search(data, 1000)[0].shape == (30, 30)
    assert all(len(set(row)) == 30 for row in model.search(data, 1000)[0].tolist())
    monkeypatch.setattr(index_model, "CELLS", 40)
    for mine, theirs in zip(model.search(data, 10), whole, strict=True):
        assert np.array_equal(mine, theirs)
    none = model.search(data.take(np.zeros(0, np.int64)), 3)
    assert none[0].shape == none[1].shape == (0, 3)


def test_losses_are_distances_to_another_record():
    X = np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]], np.float32)
    data = Dataset.from_vectors(X)
    model = FlatIndex("euclidean").fit(data, Key.public(0))
    assert model.losses(data).tolist() == [1.0, np.sqrt(18), 1.0]
    stranger = Dataset.from_vectors(X[:1], ids=[99])
    assert model.losses(stranger).tolist() == [0.0]
    alone = model.without([0, 2])
    assert alone.losses(data.only([1])).tolist() == [5.0]


def test_codes_are_of_one_vector_alone_and_whole_numbers_stay():
    X = np.array([[1e-30, -3e-30], [1e30, 5e29], [0, 0], [-1.5, 0.75]], np.float32)
    found = Vectors.of(X)
    assert np.allclose(found.values(), X, rtol=2**-15)
    assert np.array_equal(Vectors.of(X[2:]).codes, found.codes[2:])
    assert np.array_equal(Vectors.of(found.values()).codes, found.codes)
    whole = np.array([[-128, 127]], np.int8)
    assert np.array_equal(Vectors.of(whole).values(), whole)
    assert distances(Vectors.of(whole), Vectors.of(whole), "euclidean").tolist() == [[0.0]]


def test_tables_are_indexed_too_and_forgotten_with_their_scale():
    X = np.arange(40.0).reshape(20, 2)
    data = Dataset.from_arrays(X)
    model = FlatIndex("euclidean").fit(data, Key.public(0))
    assert model.search(data.only([4]), 3)[0].tolist() == [[4, 3, 5]]
    after = model.without([19, 18])
    assert after.digest() == FlatIndex("euclidean").fit(data.without([19, 18]), Key.public(0)).digest()
    assert len(after.data) == 18


def test_bad_input_changes_nothing():
    data = vectors(6)
    model = FlatIndex().fit(data, Key.public(0))
    digest = model.digest()
    for wrong in (FlatIndex("manhattan"), FlatIndex(shard_size=0), HashedIndex(n_planes=13), HashedIndex("dot")):
        with pytest.raises(BadInput):
            wrong.fit(data, Key.public(0))
    for k in (0, 1.5, True):
        with pytest.raises(BadInput, match="k must"):
            model.search(data, k)
    with pytest.raises(UnknownRecord):
        model.without([int(data.ids[0]), 12345])
    with pytest.raises(UnknownRecord):
        model.without(["no number"])
    with pytest.raises(NothingLeft):
        model.without(data.ids.tolist())
    with pytest.raises(DuplicateId):
        model.adding(data.take(np.arange(2)))
    with pytest.raises(BadData, match="8 numbers"):
        model.search(Dataset.from_vectors(np.zeros((1, 3), np.float32)), 1)
    with pytest.raises(BadData, match="texts"):
        model.adding(Dataset.from_vectors(np.ones((1, 8), np.float32), ids=["new"]))
    arrays = dict(model.state())
    name = next(name for name in arrays if name.endswith("/codes"))
    arrays[name] = arrays[name] + np.int16(1)
    with pytest.raises(StoreDamaged):
        FlatIndex().restore(arrays, data, Key.public(0))
    assert model.digest() == digest
    assert model.without([]) is model
    assert model.without([str(data.ids[0])]).digest() == model.without([int(data.ids[0])]).digest()


@pytest.mark.parametrize("kind", ["flat", "hashed", "graph"])
def test_the_front_door(kind):
    draw = np.random.Generator(np.random.PCG64(3))
    X = draw.normal(size=(300, 16)).astype(np.float32)
    ids = [f"doc-{i}" for i in range(300)]
    index = expunge.VectorIndex(kind).fit(X, ids=ids, subjects=np.arange(300) // 2)
    assert index.search(X[:5], k=1)[0][:, 0].tolist() == ids[:5]
    index.forget(["doc-0"]).forget(subjects=[50])
    kept = [i for i in range(300) if i not in (0, 100, 101)]
    fresh = expunge.VectorIndex(kind).fit(X[kept], ids=[ids[i] for i in kept], subjects=np.array(kept) // 2)
    assert index.digest() == fresh.digest()
    assert "doc-0" not in index.search(X[:1], k=297)[0]
    index.learn(X[[0]], ids=["doc-0"], subjects=[0])
    assert index.search(X[:1], k=1)[0][0, 0] == "doc-0"
    copied = pickle.loads(pickle.dumps(index))
    assert copied.digest() == index.digest()
    assert copied.search(X[:5], 3)[0].tolist() == index.search(X[:5], 3)[0].tolist()
    assert index.guarantee().grade == ("bits-here" if kind == "graph" else "bits")
    with pytest.raises(BadInput):
        expunge.VectorIndex("tree").fit(X)


def test_equal_vectors_give_equal_graphs():
    data = Dataset.from_vectors(np.random.Generator(np.random.PCG64(8)).normal(size=(300, 16)).astype(np.float32))
    graphs = {
        name: {pack({"g": GraphIndex(shard_size=100).fit(data, Key.public(0)).state()[name]}) for _ in range(4)}
        for name in GraphIndex(shard_size=100).fit(data, Key.public(0)).state()
        if name.endswith("graph")
    }
    assert len(graphs) == 4
    assert all(len(found) == 1 for found in graphs.values())


@pytest.mark.parametrize("form", ["f32", "f16"])
def test_xd13_a_tombstone_keeps_the_vector_and_is_called_suppression(form):
    draw = np.random.Generator(np.random.PCG64(2))
    X = draw.normal(size=(200, 16)).astype(np.float32)
    data = Dataset.from_vectors(X)
    theirs = usearch.Index(ndim=16, metric="cos", dtype=form)
    theirs.add(np.arange(200), X)
    adopted = AdoptedIndex.of(theirs, data)
    after = adopted.without([5, 6])
    assert after.ghosts(X[[5, 6, 7]]).tolist() == [True, True, True]  # hidden, not removed
    assert after.guarantee().kind == "suppression"
    assert np.isin([5, 6], theirs.keys).all()  # the user's own index is untouched
    assert not {5, 6} & set(np.asarray(after.index.search(X[[5, 6]], 10).keys).ravel().tolist())
    assert len(after.data) == 198
    assert np.isfinite(after.losses(data)).all()
    ours = GraphIndex().fit(data, Key.public(0)).without([5, 6])
    assert ours.guarantee().kind == "exact"
    found = ghosts(ours.state(), ours.coder.encode(data.only([5, 6, 7])).codes.astype(np.float32))
    assert found.tolist() == [False, False, True]


def test_native_refuses_to_call_a_tombstone_exact():
    from expunge.core.deployment import Deployment
    from expunge.core.errors import Unsupported
    from expunge.unlearners.exact.native import Native

    data = Dataset.from_vectors(np.eye(8, dtype=np.float32))
    theirs = usearch.Index(ndim=8)
    theirs.add(np.arange(8), data.columns["x"].values)
    deployment = Deployment(FlatIndex(), data, Key.public(0), AdoptedIndex.of(theirs, data))
    with pytest.raises(Unsupported, match="suppression"):
        Native().promise(deployment)
