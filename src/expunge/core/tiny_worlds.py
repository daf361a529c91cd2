"""Tiny worlds beside the table of `expunge.core.tiny`: vectors, interactions and a graph, as awkward as real ones."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from expunge.core.columns import Column
from expunge.core.dataset import Dataset
from expunge.core.tiny import SIZES

Draw = np.random.Generator


def tiny_vectors(seed: int, target: Literal["category"] | None = "category") -> Dataset:
    """Return a small set of vectors: duplicates, a zero vector, and numbers that are the same in all of them.

    >>> tiny_vectors(1).columns["vector"].values.shape
    (31, 6)
    """
    draw, n = _start(seed, 21)
    X = (draw.normal(size=(n, 6)) + 2 * (np.arange(n) % 3)[:, None] * (np.arange(6) < 2)).astype(np.float32).round(2)
    X[:, 4] = 1.5
    X[n // 2] = 0
    X[-(n // 8) :] = X[: n // 8]
    y = np.where(X[:, 0] > 2.5, "far", "near")
    y[:6] = ["near", "far"] * 3
    ids, owners, numbered = _names(draw, n, seed)
    labels = Column.of_texts(y.tolist()) if target else None
    classes = ("far", "near") if target and numbered else ()
    return Dataset({"vector": Column.of_vectors(X)}, ids, owners, labels, classes=classes)


def tiny_shop(seed: int) -> Dataset:
    """Return interactions, one a record: who (the subject) took which item, and how they rated it.

    Some take an item twice, some take a single item, and some items were taken once.

    >>> sorted(tiny_shop(0).columns)
    ['item', 'rating']
    """
    draw, n = _start(seed, 22)
    owners = draw.integers(0, n // 5, n)
    taste = owners % 2
    items = np.minimum(draw.geometric(0.25, n) - 1, 9) + 4 * taste
    items[8:11], owners[8:11] = items[11:14], owners[11:14]  # taken twice
    items[-2:] = [40, 41]  # taken once
    owners[-1] = n  # takes nothing else
    rating = np.where(draw.random(n) < 0.1, np.nan, draw.integers(1, 11, n) / 2)
    ids, _, numbered = _names(draw, n, seed)
    people: npt.NDArray[Any] = owners if numbered else np.array([f"u-{o}" for o in owners])
    columns = {"item": Column.of_texts([f"film-{i}" for i in items]), "rating": Column("number", rating)}
    return Dataset(columns, ids, people)


def tiny_graph(seed: int) -> Dataset:
    """Return nodes with classes, words (0 or 1) as a vector, and links.

    Links are on one side or on both, to the node itself, to nodes that are not there; some nodes have none.

    >>> tiny_graph(1).columns["links"].kind
    'links'
    """
    draw, n = _start(seed, 23)
    kind = np.arange(n) % 2
    X = (draw.random((n, 8)) < np.where(np.arange(8) % 2 == kind[:, None], 0.5, 0.15)).astype(np.uint8)
    X[-(n // 8) :] = X[: n // 8]
    y = np.where(kind ^ (draw.random(n) < 0.1), "art", "law")
    y[:6] = ["law", "art"] * 3
    ids, owners, numbered = _names(draw, n, seed)
    names = [*ids.tolist(), 77777 if numbered else "nobody"]
    links = [[names[(i + 2) % n], *(names[j] for j in draw.integers(0, n + 1, 2))] for i in range(n)]
    for i in range(0, n, 7):
        links[i] = []
    links[1].append(names[1])
    columns = {"vector": Column.of_vectors(X), "links": Column.of_links(links)}
    return Dataset(columns, ids, owners, Column.of_texts(y.tolist()), classes=("art", "law") if numbered else ())


def _start(seed: int, salt: int) -> tuple[Draw, int]:
    return np.random.Generator(np.random.PCG64([seed, salt])), SIZES[seed % len(SIZES)]


def _names(draw: Draw, n: int, seed: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any], bool]:
    """Return ids (numbers or texts), owners (some of several records), and whether ids are numbers."""
    numbered = seed % 2 == 0
    order = draw.permutation(n)
    ids = order + 100 if numbered else np.array([f"r-{i}" for i in order])
    return ids, np.array([f"s-{j // 3}" if j % 5 else f"lone-{j}" for j in range(n)]), numbered
