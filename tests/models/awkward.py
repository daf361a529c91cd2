"""Awkward random records for property tests: duplicates, constants, gaps, vanishing categories, ties, odd ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from expunge.core.columns import Column
from expunge.core.dataset import Dataset
from expunge.core.errors import ClassVanished, NothingLeft
from expunge.core.models import rows_to_forget

SIZES = (4, 7, 8, 9, 15, 16, 17, 31, 33, 40, 63, 65)


def _column(kind: str, draw: np.random.Generator, n: int) -> Column:
    gaps = draw.random(n) < draw.choice([0.0, 0.02, 0.3])
    if kind == "normal":
        return Column("number", np.where(gaps, np.nan, draw.normal(size=n) * 10.0 ** draw.integers(-12, 12)))
    if kind == "offset":
        return Column("number", 1e6 + draw.integers(0, 5, n).astype(np.float64))
    if kind == "ties":
        return Column("number", np.where(gaps, np.nan, draw.integers(-1, 2, n).astype(np.float64)))
    if kind == "spike":
        values = np.full(n, float(draw.choice([0.0, -0.0, 3.0])))
        values[draw.integers(n)] = draw.choice([1e-300, 7.0, -1e300])
        return Column("number", values)
    if kind == "lost":
        values = np.full(n, np.nan)
        values[draw.integers(n)] = 5.0
        return Column("number", values)
    if kind == "flag":
        return Column("boolean", np.where(gaps, np.nan, draw.integers(0, 2, n).astype(np.float64)))
    if kind == "day":
        return Column("date", np.where(gaps, np.nan, draw.integers(19000, 19400, n).astype(np.float64)))
    if kind == "few":
        words = [None if g else str(w) for g, w in zip(gaps, draw.choice(["a", "ä", "b", "only"], n), strict=True)]
        return Column.of_texts(words)
    if kind == "many":
        return Column.of_texts([None if g else f"v{w}" for g, w in zip(gaps, draw.integers(0, 60, n), strict=True)])
    return Column.of_texts([" ".join(draw.choice(["red", "fox", "Fox"], 2)) for _ in range(n)], "text")


KINDS = ("normal", "offset", "ties", "spike", "lost", "flag", "day", "few", "many", "text")


@dataclass(frozen=True)
class Story:
    """Records, and batches of ids to forget one after the other."""

    data: Dataset
    batches: tuple[tuple[Any, ...], ...]

    @property
    def kept(self) -> Dataset:
        """The records that stay."""
        return self.data.without([i for batch in self.batches for i in batch])


@st.composite
def stories(draw: st.DrawFn, target: str = "category") -> Story:
    """Draw records with a target of classes or numbers, and what is forgotten."""
    seed = draw(st.integers(0, 2**32 - 1))
    n = draw(st.sampled_from(SIZES))
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=5))
    numbered = draw(st.booleans())
    k = draw(st.sampled_from([2, 3]))
    declared = draw(st.booleans()) and target == "category"
    random = np.random.Generator(np.random.PCG64(seed))
    columns = {f"c{j}": _column(kind, random, n) for j, kind in enumerate(kinds)}
    classes = [["no", "yes", "zz"][c] for c in random.integers(0, k, n)]
    labels = Column.of_texts(classes) if target == "category" else Column("number", random.normal(size=n).round(1))
    order = random.permutation(n)
    ids = order.astype(np.int64) - n // 2 if numbered else np.array([f"r{i}ß" for i in order])
    data = Dataset(columns, ids, ids, labels, classes=("no", "yes", "zz") if declared else ())
    twins = random.integers(0, n, n // 4)
    rows = np.concatenate([np.arange(n - len(twins)), twins])
    data = Dataset(
        {name: column.take(rows) for name, column in columns.items()}, ids, ids, labels.take(rows), classes=data.classes
    )
    return Story(data, _batches(data, random, draw(st.sampled_from([0.05, 0.3, 0.8]))))


def _batches(data: Dataset, random: np.random.Generator, share: float) -> tuple[tuple[Any, ...], ...]:
    wanted: list[Any] = []
    for row in random.permutation(len(data))[: max(1, int(share * len(data)))]:
        try:
            rows_to_forget(data, [*wanted, data.ids[row].item()])
        except (ClassVanished, NothingLeft):
            continue
        wanted.append(data.ids[row].item())
    cuts = sorted(random.integers(0, len(wanted) + 1, 2).tolist())
    parts = (wanted[: cuts[0]], wanted[cuts[0] : cuts[1]], wanted[cuts[1] :])
    return tuple(tuple(part) for part in parts if part)


def arrays_of(model: Any) -> dict[str, Any]:
    """Return state and memory."""
    return {**model.state(), **model.memory()}


def same_bits(left: dict[str, Any], right: dict[str, Any]) -> None:
    """Fail unless names, types, shapes and bits are equal."""
    assert sorted(left) == sorted(right)
    for name in left:
        a, b = np.asarray(left[name]), np.asarray(right[name])
        assert (a.dtype, a.shape) == (b.dtype, b.shape), name
        assert a.tobytes() == b.tobytes() or np.array_equal(a, b), name


def check_story(learner: Any, story: Story, key: Any) -> Any:
    """Fail unless forgetting in batches, at once and backwards gives the bits of a fit on what is kept."""
    model = learner.fit(story.data, key)
    before = {name: np.array(a) for name, a in arrays_of(model).items()}
    reference = learner.fit(story.kept, key)
    expected = arrays_of(reference)
    after = model
    for batch in story.batches:
        after.plan(batch)
        after = after.without(batch)
    every = [i for batch in story.batches for i in batch]
    for way in (after, model.without(every), model.without(every[::-1])):
        same_bits(arrays_of(way), expected)
        assert way.digest() == reference.digest()
        assert sorted(map(str, way.data.ids.tolist())) == sorted(map(str, story.kept.ids.tolist()))
    shuffled = story.kept.take(np.random.Generator(np.random.PCG64(1)).permutation(len(story.kept)))
    same_bits(arrays_of(learner.fit(shuffled, key)), expected)
    same_bits(before, arrays_of(model))
    restored = learner.restore(expected, story.kept, key)
    same_bits(arrays_of(restored), expected)
    rest = story.kept.ids.tolist()[:1]
    assert np.isfinite(after.losses(story.data)).all()
    if len(story.kept) > 3:
        try:
            rows_to_forget(story.kept, rest)
        except ClassVanished:
            return after
        same_bits(arrays_of(restored.without(rest)), arrays_of(after.without(rest)))
    return after
