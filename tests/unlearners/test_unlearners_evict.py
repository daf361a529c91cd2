"""Eviction: after it no entry made from the records can be read, and the promise says when that cannot be known."""

from __future__ import annotations

import numpy as np
import pytest

from expunge.core.errors import BadInput, NothingLeft, UnknownRecord, Unsupported
from expunge.core.guarantee import Guarantee
from expunge.core.request import ForgetRequest
from expunge.core.tiny import tiny_deployment
from expunge.unlearners.exact.evict import evict, promise
from expunge.unlearners.exact.native import Native
from expunge.unlearners.exact.retrain import Retrain
from expunge.unlearners.exact.stores import EntryStore, Store


def forget(deployment, ids, *stores):
    request = ForgetRequest(records=tuple(ids))
    return evict(Native().unlearn(deployment, request), deployment, request, stores)


def filled(deployment, n=1000):
    """Return a store with n entries of each of four writers, and the keys of what the first three records are in."""
    store, draw = EntryStore("answers"), np.random.Generator(np.random.PCG64(1))
    ids, planted = deployment.data.ids.tolist(), []
    for j in range(n):
        key, owner = f"planted-{j}", ids[j % 3]
        kind = j % 4
        if kind == 0:  # a prompt cache
            store.write(key, f"marker-{j}".encode(), records=[owner])
        elif kind == 1:  # a passage of several people
            store.write(key, f"marker-{j}".encode(), records=[ids[5], owner, ids[6]])
        elif kind == 2:  # a summary of an entry
            store.write(f"source-{j}", f"marker-{j}-source".encode(), records=[owner])
            store.write(key, f"marker-{j}".encode(), made_of=[f"source-{j}", f"harmless-{j - 1}"])
        else:  # written again
            store.write(key, b"old", records=[ids[7]])
            store.write(key, f"marker-{j}".encode(), records=[str(owner)])
        store.write(f"harmless-{j + 1}", b"fine", records=[ids[int(draw.integers(4, len(ids)))]])
        planted.append(key)
        if kind == 2:
            planted.append(f"source-{j}")
    store.write("of-nobody", b"fine", records=[])
    return store, planted


def test_no_marker_of_a_thousand_can_be_read_back():
    deployment = tiny_deployment(0)
    store, planted = filled(deployment)
    values = dict(store._values)
    ids = deployment.data.ids.tolist()[:3]
    others = len(store) - len(planted)
    outcome = forget(deployment, ids, store)
    assert [key for key in planted if store.read(key) is not None] == []
    assert not any(b"marker" in store.read(key) for key in store._values)
    assert not any(b"marker" in value for value in values.values())  # overwritten in memory, too
    assert store.made_from(ids) == 0
    assert len(store) == others
    assert store.read("of-nobody") == b"fine"
    assert outcome.guarantee.kind == "exact"
    assert outcome.guarantee.covers[-1] == "store:answers"
    assert (
        outcome.after.model.digest()
        == Retrain().unlearn(deployment, ForgetRequest(records=tuple(ids))).after.model.digest()
    )
    assert outcome.method == f"Native(), then {len(planted)} entries evicted from answers"


def test_one_writer_who_does_not_say_makes_the_promise_empirical():
    deployment = tiny_deployment(0)
    store, other = EntryStore("answers"), EntryStore("features")
    store.write("a", b"x", records=[deployment.data.ids[0].item()])
    own = Native().promise(deployment)
    assert promise(own, ()) is own
    assert promise(own, (store, other)).kind == "exact"
    other.write("b", b"y")
    told = promise(own, (store, other))
    assert told.kind == "empirical"
    assert told.grade is None
    assert any("features" in said for said in told.assumptions)
    assert told.covers[-2:] == ("store:answers", "store:features")
    assert forget(deployment, deployment.data.ids.tolist()[:1], other).guarantee.kind == "empirical"
    weak = Guarantee(kind="suppression")
    assert promise(weak, (other,)).kind == "suppression"
    store.write("c", b"z", made_of=["a"])
    assert store.indexed
    other.write("d", b"made of what is not known", made_of=["b"], records=[1])
    assert not other.indexed
    other.write("b", b"now it is known", records=[])
    other.write("d", b"and so is this", records=[])
    assert promise(own, (store, other)).kind == "exact"


def test_it_forgets_what_is_set_aside_as_well():
    deployment = tiny_deployment(0)
    held = deployment.holdout.ids[0].item()
    store = EntryStore("answers")
    store.write("a", b"x", records=[held])
    forget(deployment, [held], store)
    assert len(store) == 0


def test_what_fails_evicts_nothing():
    deployment = tiny_deployment(0)
    ids = deployment.data.ids.tolist()
    store = EntryStore("answers")
    store.write("a", b"x", records=ids)
    with pytest.raises(UnknownRecord):
        forget(deployment, [ids[0], -5], store)
    with pytest.raises(NothingLeft):
        forget(deployment, ids, store)
    with pytest.raises(BadInput, match="gone"):
        store.write("b", b"y", made_of=["gone"])
    assert store.read("a") == b"x"
    assert store.read("b") is None


def test_a_name_is_not_read_as_the_names_of_its_letters():
    store = EntryStore("answers")
    store.write("a", b"x", records=["ann"])
    wrong = [
        lambda: store.write("a", b"y", records="ann"),
        lambda: store.write("b", b"y", made_of="a"),
        lambda: store.write("a", "text", records=["bob"]),
        lambda: store.evict("ann"),
        lambda: store.made_from("ann"),
    ]
    for act in wrong:
        with pytest.raises(BadInput):
            act()
    assert (store.read("a"), store.made_from(["ann"]), store.made_from(["bob"]), len(store)) == (b"x", 1, 0, 1)


def test_a_store_that_does_not_let_go_is_found_out():
    class Clinging(EntryStore):
        def evict(self, ids):
            return 0

    deployment = tiny_deployment(0)
    one = deployment.data.ids[0].item()
    store = Clinging("answers")
    store.write("a", b"x", records=[one])
    assert isinstance(store, Store)
    with pytest.raises(Unsupported, match="still holds 1"):
        forget(deployment, [one], store)
