"""``Grid``: columns of any kind to small integer bins, by rules that forget as exactly as the model behind them.

Everything that the encoder estimates from data (ranges, vocabularies) is a pure function of integer counts over the
kept records. Forgetting subtracts from the counts; where a range moves, the model says so and is fitted again.

Source: spec XE01-XE05; the grid is the canonical log-linear one of XE01. Where we differ: a category column stays
*one* feature whose splits ask ``value == category``, so a vanishing category changes no other column.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from expunge.core.canonical import Arrays
from expunge.core.columns import Column
from expunge.core.dataset import Dataset
from expunge.core.errors import BadData
from expunge.core.seeds import Key
from expunge.models.encoding.cells import TAIL, Ints, cell_edge, cells, grid_range, occupied, range_between
from expunge.models.encoding.tally import MAX_NOMINAL, WORD_FEATURES, Feature, Tally

__all__ = [
    "MAX_NOMINAL", "MISSING", "TAIL", "WORD_FEATURES", "Bins", "Feature", "Grid", "Ints", "Tally", "cell_edge", "cells",
    "grid_range", "range_between",
]  # fmt: skip

Bins = npt.NDArray[np.uint8]

MISSING = 0


@dataclass(frozen=True)
class Grid:
    """The encoder of a whole table.

    Attributes:
        features: one entry a column, in the data's order.
        key: of the hash buckets.
        n_bins: bins a feature has at most, bin 0 for missing included (64 or 256).
    """

    features: tuple[Feature, ...]
    key: Key
    n_bins: int = 64

    @classmethod
    def of(cls, data: Dataset, key: Key, n_bins: int = 64) -> Grid:
        """Return the canonical grid of these records."""
        return cls(tuple(_feature(name, column, data) for name, column in data.columns.items()), key, n_bins)

    @classmethod
    def counted(cls, data: Dataset, key: Key, n_bins: int = 64) -> tuple[Grid, Tally]:
        """Return the canonical grid of these records and the counts behind it, every column read once."""
        known: dict[str, tuple[Ints, Ints]] = {}
        grid = cls(tuple(_feature(name, column, data, known) for name, column in data.columns.items()), key, n_bins)
        return grid, Tally.of(grid, data, known)

    @property
    def names(self) -> list[str]:
        """The names of the encoded features."""
        return [f.column if f.width == 1 else f"{f.column}#{j}" for f in self.features for j in range(f.width)]

    @property
    def nominal(self) -> npt.NDArray[np.bool_]:
        """Which encoded features are nominal (split by equality), shape (d,)."""
        return np.array([f.kind == "nominal" for f in self.features for _ in range(f.width)], bool)

    def encode(self, data: Dataset) -> Bins:
        """Return the bins, shape (d, n), feature by feature; unknown categories get the last bin."""
        blocks = [self._encode(f, data.columns[f.column]) for f in self.features]
        return np.ascontiguousarray(np.concatenate(blocks)) if blocks else np.zeros((0, len(data)), np.uint8)

    def _encode(self, feature: Feature, column: Column) -> Bins:
        if feature.kind == "number":
            return self._cut(feature, np.asarray(column.values, np.float64))[None, :]
        codes = column.values
        if feature.kind == "nominal":
            known = {word: code + 1 for code, word in enumerate(feature.words) if word is not None}
            table = [known.get(word, self.n_bins - 1) for word in column.vocabulary]
            return np.array([*table, MISSING], np.uint8)[None, codes]
        if feature.kind == "hashed":
            n_buckets = self.n_bins - 2
            table = [1 + self.key.word(f"{feature.column}={word}") % n_buckets for word in column.vocabulary]
            return np.array([*table, MISSING], np.uint8)[None, codes]
        counts = [self._count_words(text) for text in column.vocabulary]
        rows = np.array([*counts, np.zeros(WORD_FEATURES)]).reshape(-1, WORD_FEATURES).astype(np.uint8)
        return np.ascontiguousarray(rows[codes].T)

    def _cut(self, feature: Feature, values: npt.NDArray[np.float64]) -> Bins:
        n_cells = self.n_bins - 3
        width = (feature.high - feature.low) / n_cells
        with np.errstate(invalid="ignore", over="ignore"):
            inside = np.floor((values - feature.low) / width)
            bins = 2 + np.clip(inside, 0, n_cells - 1)
            bins = np.where(values < feature.low, 1, np.where(values >= feature.high, self.n_bins - 1, bins))
        return np.where(np.isnan(values), MISSING, bins).astype(np.uint8)

    def _count_words(self, text: str) -> npt.NDArray[np.int64]:
        secret = self.key.bytes
        places = [
            hashlib.blake2b(word.encode(), digest_size=1, key=secret).digest()[0] % WORD_FEATURES
            for word in text.lower().split()
        ]
        return 1 + np.minimum(np.bincount(np.array(places, np.int64), minlength=WORD_FEATURES), self.n_bins - 2)

    def forgetting(self, vanished: list[tuple[int, int]]) -> Grid:
        """Return the grid without the categories (column, code) whose last record is gone."""
        if not vanished:
            return self
        features = list(self.features)
        for column, code in vanished:
            words = list(features[column].words)
            words[code] = None
            features[column] = replace(features[column], words=tuple(words))
        return replace(self, features=tuple(features))

    def compact(self) -> tuple[Grid, dict[int, npt.NDArray[np.uint8]]]:
        """Return the grid with categories numbered afresh where some are gone, and there: feature → old bin → new."""
        features, changed, row = [], {}, 0
        for feature in self.features:
            if None in feature.words:
                kept = [code for code, word in enumerate(feature.words) if word is not None]
                table = np.arange(self.n_bins, dtype=np.uint8)
                table[np.array(kept, np.int64) + 1] = np.arange(1, len(kept) + 1)
                changed[row] = table
                features.append(replace(feature, words=tuple(w for w in feature.words if w is not None)))
            else:
                features.append(feature)
            row += feature.width
        return (replace(self, features=tuple(features)), changed) if changed else (self, {})

    def labels(self) -> npt.NDArray[np.int64]:
        """Return what each bin is called in a canonical state, shape (d, n_bins), int64.

        Bins of numbers, buckets and words are called by their number; categories by a keyed hash of their text,
        so that a category's name does not depend on which others exist.
        """
        table = np.tile(np.arange(self.n_bins, dtype=np.int64), (len(self.names), 1))
        row = 0
        for feature in self.features:
            if feature.kind == "nominal":
                for code, word in enumerate(feature.words):
                    if word is not None:
                        table[row, code + 1] = self.key.word(f"{feature.column}={word}") >> 1
            row += feature.width
        return table

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return the grid as arrays under ``grid/…``: ranges of numbers, kept categories."""
        kinds = ("number", "nominal", "hashed", "words")
        texts = ["\0".join([f.column, *(w for w in f.words if w is not None)]).encode() for f in self.features]
        return {
            "grid/kind": np.array([kinds.index(f.kind) for f in self.features], np.uint8),
            "grid/low": np.array([f.low for f in self.features], np.float64),
            "grid/high": np.array([f.high for f in self.features], np.float64),
            "grid/words": np.frombuffer(b"\n".join(t.hex().encode() for t in texts), np.uint8),
        }

    def agrees(self, arrays: Arrays) -> bool:
        """Say whether saved arrays are this grid's `state`."""
        mine = self.state()
        return all(name in arrays and np.array_equal(mine[name], arrays[name]) for name in mine)


def _feature(name: str, column: Column, data: Dataset, known: dict[str, tuple[Ints, Ints]] | None = None) -> Feature:
    if column.kind in ("vector", "links"):
        raise BadData(f"column {name!r} holds {column.kind}; this learner reads numbers, categories, dates and texts")
    if column.kind == "text":
        return Feature(name, "words")
    if column.kind == "category":
        if len(column.vocabulary) > MAX_NOMINAL:
            return Feature(name, "hashed")
        return Feature(name, "nominal", words=column.vocabulary)
    if name in data.ranges:
        low, high = data.ranges[name]
        return Feature(name, "number", low, high if high > low else low + max(1.0, abs(low)), declared=True)
    cell, place = occupied(np.asarray(column.values, np.float64))
    if known is not None:
        known[name] = cell, place
    return Feature(name, "number", *grid_range(cell, np.bincount(place, minlength=len(cell) + 1)[: len(cell)]))
