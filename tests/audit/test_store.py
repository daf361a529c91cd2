"""The store of signals: whole chunks or none, what is damaged is said and made again, all of it can be purged."""

import json
import os
import time

import numpy as np
import pytest

from expunge.audit import store
from expunge.audit.store import Signals
from expunge.core.errors import StoreFull


@pytest.fixture
def kept(tmp_path):
    place = Signals.under(tmp_path, {"learner": "x", "seed": 1})
    for start in (0, 4, 8):
        place.add(start, {"logits": np.arange(start, start + 4, dtype=np.float16)}, ["a", "b", "c", "d"], 0.5)
    return place


def read(place):
    return {row: float(arrays["logits"]) for row, arrays in place.rows().items()}


def test_rows_come_back_and_the_journal_says_what_there_is(kept):
    assert read(kept) == {i: float(i) for i in range(12)}
    lines = [json.loads(line) for line in (kept.folder / "chunks.jsonl").read_text().splitlines()]
    assert [(line["start"], line["stop"]) for line in lines] == [(0, 4), (4, 8), (8, 12)]
    assert {tuple(line["seeds"]) for line in lines} == {("a", "b", "c", "d")}
    assert all(set(line) == {"sha256", "start", "stop", "seeds", "seconds"} for line in lines)


def test_nobody_else_may_read_it(kept):
    assert {oct(p.stat().st_mode & 0o777) for p in kept.folder.iterdir()} == {"0o600"}
    assert oct(kept.folder.stat().st_mode & 0o777) == "0o700"


def test_other_facts_are_another_place(tmp_path):
    facts = {"learner": "x", "data": "d", "key": "k"}
    places = {Signals.under(tmp_path, facts).folder} | {
        Signals.under(tmp_path, facts | {name: "other"}).folder for name in facts
    }
    assert len(places) == 4
    assert Signals.under(tmp_path, dict(reversed(facts.items()))).folder in places


@pytest.mark.parametrize(
    "damage", [lambda b: b[:50] + bytes([b[50] ^ 1]) + b[51:], lambda b: b[:-1], lambda b: b"", lambda b: b + b"\0"]
)
def test_a_damaged_chunk_is_said_and_alone_is_missing(kept, damage):
    path = kept.folder / "rows-0000004-0000008.npz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.warns(RuntimeWarning, match="made again"):
        assert sorted(read(kept)) == [0, 1, 2, 3, 8, 9, 10, 11]
    kept.add(4, {"logits": np.arange(4, 8, dtype=np.float16)}, ["a", "b", "c", "d"], 0.1)
    assert read(kept) == {i: float(i) for i in range(12)}


def test_a_chunk_that_is_lost_is_said(kept):
    (kept.folder / "rows-0000000-0000004.npz").unlink()
    with pytest.warns(RuntimeWarning, match="made again"):
        assert sorted(read(kept)) == list(range(4, 12))


@pytest.mark.parametrize("cut", [1, 5, 60])
def test_a_line_that_a_crash_has_cut_short_is_passed_over_and_the_next_stands_alone(kept, cut):
    journal = kept.folder / "chunks.jsonl"
    journal.write_bytes(journal.read_bytes()[:-cut])
    if cut > 1:
        assert sorted(read(kept)) == list(range(8))
    kept.add(8, {"logits": np.arange(8, 12, dtype=np.float16)}, ["a", "b", "c", "d"], 0.1)
    assert read(kept) == {i: float(i) for i in range(12)}


def test_a_chunk_without_a_line_is_not_there(kept):
    journal = kept.folder / "chunks.jsonl"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:2]))
    assert sorted(read(kept)) == list(range(8))


def test_decisions_are_kept(kept):
    assert kept.noted("way") is None
    kept.note("way", "one by one")
    assert kept.noted("way") == "one by one"
    (kept.folder / "way.json").write_text("{")
    assert kept.noted("way") is None


def test_purge_deletes_signals_and_nothing_else(kept, tmp_path):
    (tmp_path / "other.txt").write_text("stays")
    Signals.under(tmp_path, {"learner": "y"}).note("way", "x")
    assert store.purge(tmp_path) == 2
    assert [p.name for p in tmp_path.iterdir()] == ["other.txt"]
    assert store.purge(tmp_path / "missing") == 0


def test_the_retention_period_counts_from_the_first_chunk(kept, tmp_path):
    young = Signals.under(tmp_path, {"learner": "y"})
    young.note("way", "x")
    old = time.time() - 1000
    os.utime(kept.folder / "rows-0000000-0000004.npz", (old, old))
    assert store.purge(tmp_path, older_than_s=900) == 1
    assert young.folder.is_dir()
    assert not kept.folder.exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_said(kept):
    kept.folder.chmod(0o500)
    with pytest.raises(StoreFull):
        kept.add(12, {"logits": np.zeros(1)}, ["a"], 0.0)
