"""Salted commitments: what they hide, what they bind, and that they shrink as records leave."""

from __future__ import annotations

import numpy as np
import pytest

from expunge.core.archive import pack, unpack
from expunge.core.errors import StoreDamaged
from expunge.core.tiny import tiny_world
from expunge.fulfilment.commitments import Commitments
from expunge.trust.manifest import check_run, commitment, content_key, record_key, verify_absence, verify_membership

DATA = tiny_world(3)


def row_bytes(data, row):
    return b"".join(
        column.fields(name)[row] for name, column in sorted({**data.columns, data.target_name: data.target}.items())
    )


def test_keys_and_commitments_are_those_of_the_format():
    held = Commitments.fresh(DATA)
    name, body = str(DATA.ids[5]), row_bytes(DATA, 5)
    key = record_key(held.secret, name)
    assert held.records[key] == commitment(body, held.nonces[key])
    ((left, content, c),) = held.leaving(DATA.take(np.array([5])))
    assert (left, content, c) == (key, content_key(held.secret, body), held.records[key])


def test_two_ingestions_share_nothing_but_the_content():
    one, two = Commitments.fresh(DATA), Commitments.fresh(DATA)
    assert not set(one.records) & set(two.records)
    assert not set(one.records.values()) & set(two.records.values())
    assert len(set(one.records.values())) == len(DATA)


def test_what_leaves_goes_into_u_and_takes_its_nonce_along():
    before = Commitments.fresh(DATA)
    gone = DATA.take(np.array([1, 4, 9]))
    after = before.without(gone)
    check_run((before.records, after.records), (before.unlearned, after.unlearned), before.leaving(gone))
    for key, content, c in before.leaving(gone):
        assert key not in after.nonces
        verify_absence(after.d_map.root, key, after.d_map.prove(key))
        verify_membership(after.u_map.root, key, c, after.u_map.prove(key))
        assert content in after.unlearned
    assert len(after.nonces) == len(after.records) == len(DATA) - 3
    assert before.s_root(gone) != before.s_root(gone.take(np.array([0, 1])))


def test_forgotten_records_are_known_when_they_come_again():
    twins = tiny_world(3)
    after = Commitments.fresh(DATA).without(DATA.take(np.array([0])))
    again = set(after.refused(twins))
    same = {
        i for i, d in zip(DATA.ids.tolist(), DATA.record_digests, strict=True) if (d == DATA.record_digests[0]).all()
    }
    assert again == same
    assert len(same) > 1  # the duplicate under another id is refused too


def test_a_record_that_was_never_committed_to_is_damage():
    with pytest.raises(StoreDamaged):
        Commitments.fresh(DATA).leaving(tiny_world(5))


def test_arrays_bring_them_back():
    held = Commitments.fresh(DATA).without(DATA.take(np.array([3, 4])))
    read = Commitments.from_arrays(unpack(pack(held.arrays())))
    assert (read.secret, read.nonces, read.records, read.unlearned) == (
        held.secret,
        held.nonces,
        held.records,
        held.unlearned,
    )
    assert read.d_map.root == held.d_map.root
    with pytest.raises(StoreDamaged):
        Commitments.from_arrays({"secret": np.zeros((1, 31), np.uint8)})


def test_nothing_secret_shows():
    held = Commitments.fresh(DATA)
    assert repr(held) == "Commitments()"
