"""Compiled keyed words are those of hashlib, for every id and domain."""

from __future__ import annotations

import numpy as np
import pytest

from expunge.core.dataset import Dataset
from expunge.core.seeds import Key
from expunge.models.draws import SHORT, keyed_words, owner_words

ENDS = [0, 1, -1, 2**63 - 1, -(2**63), 255, 256]


@pytest.mark.parametrize("n", [SHORT - 1, SHORT, SHORT + 1, SHORT + 7, 500])
@pytest.mark.parametrize("person", ["record", "owner"])
def test_compiled_words_are_those_of_hashlib(n, person):
    ids = np.concatenate([ENDS, np.random.default_rng(n).integers(-(2**63), 2**63 - 1, n)])[:n]
    for key in (Key.public(n), Key.generate(n)):
        assert keyed_words(key, ids, person).tolist() == key.words(ids.tolist(), person).tolist()


def test_texts_have_words_too():
    ids, key = np.array([f"patient-{i}" for i in range(100)]), Key.public(1)
    assert keyed_words(key, ids).tolist() == key.words(ids.tolist()).tolist()


def test_all_records_of_an_owner_have_one_word():
    key, owners = Key.public(2), np.arange(120) % 7
    data = Dataset.from_arrays(np.zeros((120, 1)), ids=range(120), subjects=owners)
    words = owner_words(key, data)
    assert words.tolist() == key.words(owners.tolist(), "owner").tolist()
    alone = Dataset.from_arrays(np.zeros((120, 1)), ids=range(120))
    assert owner_words(key, alone).tolist() == key.words(range(120), "owner").tolist()
