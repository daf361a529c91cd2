"""Shadows: balanced draws of owners, one matrix however it is computed, a cache that resumes and can be emptied."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from worlds import TableLearner, case_of, records

from expunge.audit import shadows
from expunge.core.columns import Column
from expunge.core.errors import Interrupted
from expunge.core.seeds import Key

N = 8


@pytest.fixture(scope="module")
def case():
    data, holdout = records(200, 1, per_owner=4), records(120, 2, per_owner=3, first=9_000)
    return case_of(TableLearner("memory"), data, holdout, list(range(8)), n_shadows=N)


@pytest.fixture(scope="module")
def drawn(case):
    return shadows.draw(case, N, 60)


@dataclass(frozen=True)
class Counting:
    """Counts its fits in a list, and stops by Ctrl-C at one of them."""

    inner: TableLearner
    seen: list
    stop_at: int = -1

    def __repr__(self):
        return repr(self.inner)

    def fit(self, data, key, progress=None):
        if len(self.seen) == self.stop_at:
            raise KeyboardInterrupt
        self.seen.append(len(data))
        return self.inner.fit(data, key)


def test_every_unit_is_in_half_of_the_shadows(drawn):
    assert (drawn.holds.sum(axis=0) == N // 2).all()
    assert (drawn.inside.sum(axis=0) == N // 2).all()
    assert len(np.unique(drawn.holds, axis=1).T) > 20  # owners are not drawn in step


def test_owners_are_drawn_whole(drawn):
    owners = drawn.universe.subjects
    for shadow in range(N):
        rows = drawn.rows(shadow)
        for owner in np.unique(owners):
            assert len(set(rows[owners == owner].tolist())) == 1


def test_forgotten_come_first_and_the_pool_is_whole_owners_of_the_holdout(case, drawn):
    records_ = drawn.records
    assert records_.ids[: drawn.n_forgotten].tolist() == case.forgotten.ids.tolist()
    pool = set(records_.subjects[drawn.n_forgotten :].tolist())
    assert pool <= set(case.holdout.subjects.tolist())
    assert 60 <= len(records_) - drawn.n_forgotten < 63


def test_forgotten_records_of_an_owner_who_keeps_others_are_a_unit_of_their_own(case):
    partly = replace(case, forgotten=case.before.data.only([0, 1]))
    drawn = shadows.draw(partly, N, 60)
    assert drawn.units[0] == drawn.units[1] != drawn.units[2]


def test_a_draw_depends_on_the_owner_alone(case):
    """With other owners gone, the shadows hold the same of those who stay."""
    whole = shadows.draw(case, N, 60)
    fewer = case.before.data.without(range(100, 200))
    part = shadows.draw(replace(case, before=replace(case.before, data=fewer)), N, 60)
    for shadow in range(N):
        assert (whole.rows(shadow)[:100] == part.rows(shadow)[:100]).all()


def test_an_odd_number_of_shadows_is_balanced_too():
    words = Key.public(3).words(range(4000))
    held = shadows._halves(words, 9).sum(axis=0)
    assert set(held.tolist()) == {4, 5}
    assert abs(held.mean() - 4.5) < 0.05
    assert abs(shadows._halves(words, 9).mean(axis=1) - 0.5).max() < 0.05


def test_processes_do_not_change_the_matrix(drawn):
    alone = shadows.signals_of(drawn, n_jobs=1)
    assert alone.shape == (N, len(drawn.audited))
    assert np.array_equal(alone, shadows.signals_of(drawn, n_jobs=2))


def test_the_cache_counts_fits_and_a_damaged_entry_is_fitted_again(drawn, tmp_path):
    counted = replace(drawn, learner=Counting(drawn.learner, []))
    first = shadows.signals_of(counted, n_jobs=1, cache=tmp_path)
    assert len(counted.learner.seen) == N
    assert np.array_equal(first, shadows.signals_of(counted, n_jobs=1, cache=tmp_path))
    assert len(counted.learner.seen) == N
    files = sorted(tmp_path.iterdir())
    assert len(files) == N
    assert {oct(f.stat().st_mode & 0o777) for f in files} == {"0o600"}
    for place, damage in (
        (0, lambda b: b[: len(b) // 2]),
        (1, lambda b: b[:150] + bytes([b[150] ^ 1]) + b[151:]),
        (2, lambda b: b""),
    ):
        files[place].write_bytes(damage(files[place].read_bytes()))
    with pytest.warns(RuntimeWarning, match="fitted again"):
        again = shadows.signals_of(counted, n_jobs=1, cache=tmp_path)
    assert np.array_equal(first, again)
    assert len(counted.learner.seen) == N + 3


def test_an_entry_under_another_name_is_not_believed(drawn, tmp_path):
    first = shadows.signals_of(drawn, n_jobs=1, cache=tmp_path)
    a, b = (tmp_path / drawn.name(i) for i in (0, 1))
    b.write_bytes(a.read_bytes())
    with pytest.warns(RuntimeWarning):
        assert np.array_equal(first, shadows.signals_of(drawn, n_jobs=1, cache=tmp_path))


def test_another_learner_seed_or_data_set_has_other_names(case, drawn):
    others = [
        replace(drawn, learner=TableLearner("nearest")),
        replace(drawn, key=drawn.key.child("x")),
        shadows.draw(replace(case, seed="audit-1"), N, 60),
        replace(drawn, universe=replace(drawn.universe, ids=drawn.universe.ids + 1)),
    ]
    names = {d.name(0) for d in [drawn, *others]}
    assert len(names) == 5


def test_ctrl_c_keeps_what_is_done(drawn, tmp_path):
    stopped = replace(drawn, learner=Counting(drawn.learner, [], stop_at=3))
    with pytest.raises(Interrupted, match="3 of 8"):
        shadows.signals_of(stopped, n_jobs=1, cache=tmp_path)
    resumed = replace(drawn, learner=Counting(drawn.learner, []))
    ticks = []
    matrix = shadows.signals_of(resumed, n_jobs=1, cache=tmp_path, progress=lambda done, n: ticks.append((done, n)))
    assert len(resumed.learner.seen) == 5
    assert ticks == [(i, N) for i in range(3, N + 1)]
    assert np.array_equal(matrix, shadows.signals_of(drawn, n_jobs=1))


def test_ctrl_c_stops_the_processes_and_keeps_what_is_done(drawn, tmp_path):
    def stop(done, n):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="in the cache"):
        shadows.signals_of(drawn, n_jobs=2, cache=tmp_path, progress=stop)
    assert len(list(tmp_path.iterdir())) >= 3
    whole = shadows.signals_of(drawn, n_jobs=2, cache=tmp_path)
    assert np.array_equal(whole, shadows.signals_of(drawn, n_jobs=1))


def test_purge_empties_the_cache_and_nothing_else(drawn, tmp_path):
    shadows.signals_of(drawn, n_jobs=1, cache=tmp_path)
    (tmp_path / "other.txt").write_text("stays")
    (tmp_path / ".shadow-half.npz.1.tmp").write_text("left by a crash")
    assert shadows.purge(tmp_path) == N + 1
    assert [f.name for f in tmp_path.iterdir()] == ["other.txt"]
    assert shadows.purge(tmp_path / "missing") == 0


def test_holdout_records_of_unknown_classes_are_left_out(case):
    odd = case.holdout
    odd = replace(odd, target=Column.of_texts(["maybe"] * 3 + ["yes"] * (len(odd) - 3)))
    drawn = shadows.draw(replace(case, holdout=odd), N, 1000)
    assert len(drawn.records) - drawn.n_forgotten == len(odd) - 3
