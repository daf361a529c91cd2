"""The grid: a pure function of the kept records, that knows when it moves."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.core.columns import Column
from expunge.core.dataset import Dataset
from expunge.core.seeds import Key
from expunge.models.encoding.grid import Grid, Tally, cell_edge, cells

KEY = Key.public(0)
finite = st.floats(allow_nan=False, allow_infinity=False, width=64)


def one_column(column: Column) -> Dataset:
    ids = np.arange(len(column.values))
    return Dataset(columns={"c": column}, ids=ids, subjects=ids)


@given(st.lists(finite, min_size=2, max_size=50))
def test_cells_are_monotone_and_hold_their_values(values):
    x = np.sort(np.array(values, np.float64)) + 0.0
    cell = cells(x)
    assert (np.diff(cell) >= 0).all()
    for value, c in zip(x.tolist(), cell.tolist(), strict=True):
        assert cell_edge(c) <= value <= cell_edge(c + 1) or np.isinf(cell_edge(c + 1)) or np.isnan(cell_edge(c + 1))


@settings(max_examples=200, deadline=None)
@given(
    values=st.lists(st.one_of(st.just(np.nan), st.floats(-1e6, 1e6), st.integers(-5, 5).map(float)), min_size=2),
    data=st.data(),
)
def test_the_tally_says_when_a_grid_of_numbers_moves(values, data):
    whole = one_column(Column("number", np.array(values)))
    gone = data.draw(st.lists(st.integers(0, len(values) - 1), unique=True, min_size=1, max_size=len(values) - 1))
    grid = Grid.of(whole, KEY)
    rows = np.array(gone, np.int64)
    _, moved, _ = Tally.of(grid, whole).without(rows)
    kept = Grid.of(whole.without(gone), KEY)
    assert moved == (kept.features != grid.features)


@settings(max_examples=100, deadline=None)
@given(n=st.integers(40, 120), seed=st.integers(0, 10**6), share=st.floats(0.02, 0.9))
def test_the_tally_knows_vanished_categories_and_changed_kinds(n, seed, share):
    rng = np.random.default_rng(seed)
    whole = one_column(Column.of_texts([f"v{v}" for v in rng.integers(0, 38, n)]))
    rows = rng.permutation(n)[: max(1, int(share * n))].astype(np.int64)
    grid = Grid.of(whole, KEY)
    _, moved, vanished = Tally.of(grid, whole).without(rows)
    kept = whole.without(rows.tolist())
    fresh = Grid.of(kept, KEY)
    assert moved == (fresh.features[0].kind != grid.features[0].kind)
    if not moved and grid.features[0].kind == "nominal":
        after = grid.forgetting(vanished)
        assert [w for w in after.features[0].words if w is not None] == list(fresh.features[0].words)
        assert after.state()["grid/words"].tolist() == fresh.state()["grid/words"].tolist()


def test_missing_under_over_and_inside_have_bins_of_their_own():
    grid = Grid.of(one_column(Column("number", np.linspace(0.0, 100.0, 1001))), KEY)
    feature = grid.features[0]
    probe = one_column(Column("number", np.array([np.nan, -1e9, feature.low, 50.0, feature.high, 1e9])))
    bins = grid.encode(probe)[0].tolist()
    assert bins[:3] == [0, 1, 2]
    assert 2 < bins[3] < 63
    assert bins[4:] == [63, 63]


def test_integers_get_bins_of_their_own():
    grid = Grid.of(one_column(Column("number", np.arange(1.0, 15.0).repeat(9))), KEY)
    bins = grid.encode(one_column(Column("number", np.arange(1.0, 15.0))))[0]
    assert len(set(bins.tolist())) == 14


def test_unknown_categories_get_the_last_bin_and_texts_are_counted():
    whole = one_column(Column.of_texts(["a", "b", None]))
    grid = Grid.of(whole, KEY)
    assert grid.encode(one_column(Column.of_texts(["b", "zzz", None])))[0].tolist() == [2, 63, 0]
    text = one_column(Column.of_texts(["fever fever cough", None], "text"))
    grid = Grid.of(text, KEY)
    codes = grid.encode(text)
    assert codes.shape == (64, 2)
    assert codes[:, 0].sum() == 64 + 3
    assert codes[:, 1].sum() == 0


def test_deleting_the_extremes_seldom_moves_the_grid():
    rng = np.random.default_rng(0)
    whole = one_column(Column("number", rng.normal(size=2000)))
    tally = Tally.of(Grid.of(whole, KEY), whole)
    values = whole.columns["c"].values
    for row in (values.argmin(), values.argmax()):
        assert not tally.without(np.array([row]))[1]
