"""Golden digests: six models of whole-number records, the same bits on every machine, Python, numpy and numba.

A digest that differs means other bits, hence that published receipts cannot be replayed: say so in the change log, then
run this file (``python tests/models/test_hostile_golden.py``) to write them afresh.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from expunge.core.canonical import sha256
from expunge.core.columns import Column
from expunge.core.dataset import Dataset
from expunge.core.seeds import Key
from expunge.models.bayes.naive import NaiveBayes
from expunge.models.boosting.learner import Boosting
from expunge.models.clusters.kmeans import KMeans
from expunge.models.forest.learner import Forest
from expunge.models.neighbours import Neighbours

FILE = Path(__file__).parents[1] / "golden" / "models" / "digests.json"
KEY = Key(bytes(range(32)), "golden")
LEARNERS = {
    "forest": Forest(n_trees=6, trees_per_owner=3, min_split=2, sample=64, thresholds=4, keep=16),
    "forest of numbers": Forest(n_trees=4, trees_per_owner=4, min_split=4, n_bins=256, sample=128, keep=16),
    "boosting": Boosting(rounds=5, sample=64, cuts=31, min_rows=2, min_gain=0.5, n_bins=64),
    "bayes": NaiveBayes(),
    "clusters": KMeans(),
    "neighbours": Neighbours(),
}
"""All of grade `bits`: what is solved in floating point is promised for one machine only."""


def words(n: int, what: str) -> np.ndarray:
    """Return 64 keyed bits for each of n places: the same everywhere, unlike a library's random numbers."""
    return Key(bytes(32), "golden data").words([f"{what}/{j}" for j in range(n)])


def records(n: int = 260) -> Dataset:
    a, b = (words(n, "a") % 41).astype(np.float64) - 20, (words(n, "b") % 7).astype(np.float64) / 4
    colour = [["red", "green", None, "blü"][int(w)] for w in words(n, "colour") % 4]
    text = [["quick fox", "lazy dog", ""][int(w)] for w in words(n, "text") % 3]
    many = [f"v{w}" for w in words(n, "many") % 50]
    hit = (a > 3) ^ (b > 1) ^ (words(n, "noise") % 9 == 0)
    columns = {
        "a": Column("number", np.where(words(n, "gap") % 11 == 0, np.nan, a)),
        "b": Column("number", b),
        "colour": Column.of_texts(colour),
        "many": Column.of_texts(many),
        "text": Column.of_texts(text, "text"),
    }
    ids, owners = np.arange(n) * 7, np.array([f"ö{w}" for w in words(n, "owner") % 150])
    return Dataset(columns, ids, owners, Column.of_texts(np.where(hit, "yes", "no").tolist()), classes=("no", "yes"))


def made(name: str) -> dict[str, str]:
    """Return the digests of a model, of the same after a deletion, and of what it remembers then."""
    data = records()
    if name == "forest of numbers":
        numbers = Column("number", data.columns["b"].values * 16 + (words(len(data), "y") % 5).astype(np.float64))
        data = Dataset(data.columns, data.ids, data.subjects, numbers)
    model = LEARNERS[name].fit(data, KEY)
    after = model.without(data.ids[::6].tolist())
    memory = after.memory() if hasattr(after, "memory") else {}
    lines = [sha256(k.encode(), str(memory[k].dtype.str).encode(), memory[k].tobytes()) for k in sorted(memory)]
    return {"fitted": model.digest(), "after": after.digest(), "memory": sha256(*lines).hex()}


@pytest.mark.parametrize("name", LEARNERS)
def test_a_model_has_the_bits_that_it_always_had(name):
    assert made(name) == json.loads(FILE.read_text(encoding="utf-8"))[name]


def test_the_records_are_the_same_everywhere():
    assert records().digest == json.loads(FILE.read_text(encoding="utf-8"))["records"]


if __name__ == "__main__":
    found: dict[str, object] = {"records": records().digest, **{name: made(name) for name in LEARNERS}}
    FILE.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
