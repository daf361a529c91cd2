"""The scenes (spec section 10) as files that any runner reads: float32 rows, a test split, one order of deletions."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("EXPUNGE_BENCH_CACHE", ROOT / "build" / "bench"))
SHARED = ROOT.parent / "shared" / "data"
SOURCES = os.environ.get("EXPUNGE_PEER_SOURCES", "")

Split = dict[str, np.ndarray]


def _split(X: np.ndarray, y: np.ndarray) -> Split:
    from sklearn.model_selection import train_test_split

    X, Xt, y, yt = train_test_split(X.astype(np.float32), y.astype(np.int8), test_size=0.2, random_state=1)
    return {"X": np.ascontiguousarray(X), "y": y, "Xt": np.ascontiguousarray(Xt), "yt": yt}


def adult() -> Split:
    """XS01: Adult, split=train: education_num dropped, 5 numeric columns and one-hot categories."""
    path = SHARED / "adult" / "adult.csv.xz"
    if not path.exists():
        raise FileNotFoundError("adult is not beside the checkout")
    frame = pd.read_csv(path, keep_default_na=False, na_values=[""])
    frame = frame[frame["split"] == "train"].drop(columns=["split", "education_num"])
    y = frame.pop("income").str.startswith(">").to_numpy()
    return _split(pd.get_dummies(frame, dtype=np.float32).to_numpy(np.float32), y)


def cardio() -> Split:
    """XS02: the cardiovascular set of the HedgeCut repository."""
    path = Path(SOURCES, "hedgecut", "datasets", "cardio.csv")
    if not SOURCES or not path.exists():
        raise FileNotFoundError("the cardiovascular set comes with HedgeCut's sources (EXPUNGE_PEER_SOURCES)")
    frame = pd.read_csv(path, sep=";").drop(columns="id")
    y = frame.pop("cardio").to_numpy()
    return _split(frame.to_numpy(np.float32), y)


def bank() -> Split:
    """Bank marketing, what XS02 falls back on: numbers, and one-hot categories."""
    found = sorted((SHARED / "bank_marketing").glob("*.csv.xz"))
    if not found:
        raise FileNotFoundError("bank_marketing is not beside the checkout")
    frame = pd.read_csv(found[0], keep_default_na=False)
    y = (frame.pop("y") == "yes").to_numpy()
    return _split(pd.get_dummies(frame, dtype=np.float32).to_numpy(np.float32), y)


def synthetic(n: int) -> Callable[[], Split]:
    """XS03 and XS04, and the points of the scaling curve: 40 columns, 5 informative, labels with 5 % noise."""

    def make() -> Split:
        from sklearn.datasets import make_classification

        X, y = make_classification(
            n_samples=n * 5 // 4,
            n_features=40,
            n_informative=5,
            n_redundant=5,
            n_repeated=0,
            n_clusters_per_class=2,
            flip_y=0.05,
            random_state=1,
        )
        return _split(X, y)

    return make


def value() -> Split:
    """XS10: sixty small tables of whole numbers, each with a victim whose values nobody else has."""
    from expunge.threats.split_value import SplitValue, records

    attack, X, y, victims, labels, rows = SplitValue(), [], [], [], [], []
    for j in range(attack.n_victims):
        draw = np.random.default_rng([0, j])
        found, told = records(attack.n_records, draw)
        X.append(found)
        y.append(told == "yes")
        victims.append(draw.integers(0, 99, X[0].shape[1]) + attack.offset)
        labels.append(draw.random() < 0.5)
        rows.append(draw.integers(0, 100, (attack.n_rows, X[0].shape[1])))
    return {
        "X": np.array(X, np.float32),
        "y": np.array(y, np.int8),
        "victims": np.array(victims, np.float32),
        "labels": np.array(labels, np.int8),
        "rows": np.array(rows, np.float32),
        "gap": np.array([attack.gap], np.float32),
    }


def law() -> Split:
    """XS11: tiny tables on which the distribution of models is compared; one dare-rf's authors might draw by hand."""
    draw = np.random.default_rng(11)
    return {
        "X": np.arange(8, dtype=np.float32)[:, None],
        "y": np.array([0, 0, 1, 0, 1, 1, 0, 1], np.int8),
        "X16": np.round(draw.normal(size=(16, 3)), 2).astype(np.float32),
        "y16": (np.arange(16) % 2 ^ (draw.random(16) < 0.3)).astype(np.int8),
    }


SCENES: dict[str, Callable[[], Split]] = {
    "adult": adult,
    "cardio": cardio,
    "bank": bank,
    "synth10k": synthetic(10_000),
    "synth100k": synthetic(100_000),
    "synth1m": synthetic(1_000_000),
    "synth10m": synthetic(10_000_000),
    "value": value,
    "law": law,
}
NAMES = {
    "adult": "XS01",
    "cardio": "XS02",
    "bank": "in place of XS02",
    "synth100k": "XS03",
    "synth1m": "XS04",
    "gram": "XS05",
    "logit": "XS06",
    "ease": "XS07",
    "value": "XS10",
    "law": "XS11",
    "grid": "XS12",
    "patients": "XS13",
}


def scene(name: str, scale: float = 1.0) -> Path:
    """Return the file of a scene, made on first use.

    Args:
        name: of `SCENES`.
        scale: share of the training rows that is kept, for trying things out; part of the file's name.

    Raises:
        FileNotFoundError: what it is made of is not here.
    """
    stem = name if scale == 1.0 else f"{name}@{scale:g}"
    path = CACHE / "scenes" / f"{stem}.npz"
    if not path.exists():
        made = SCENES[name]()
        if "Xt" in made:
            rows = max(1000, int(scale * len(made["y"])))
            made |= {"X": made["X"][:rows], "y": made["y"][:rows]}
            made["order"] = np.random.default_rng(7).permutation(len(made["y"]))
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part.npz")
        np.savez(part, **made)
        part.rename(path)
    return path


def gram(n: int) -> tuple[np.ndarray, np.ndarray]:
    """XS05: vectors of 512 int16, ten classes."""
    draw = np.random.default_rng(5)
    W = draw.normal(size=(512, 10)).astype(np.float32)
    X = np.empty((n, 512), np.int16)
    y = np.empty(n, np.int64)
    for at in range(0, n, 50_000):
        rows = draw.normal(size=(min(50_000, n - at), 512)).astype(np.float32)
        y[at : at + len(rows)] = (rows @ W + 8 * draw.normal(size=(len(rows), 10))).argmax(axis=1)
        X[at : at + len(rows)] = np.clip(np.rint(rows * 4096), -32768, 32767)
    return X, y


def logit(n: int, d: int = 512) -> tuple[np.ndarray, np.ndarray]:
    """XS06: x of variance 1/d, weights of variance 9, labels drawn from the logistic model."""
    draw = np.random.default_rng(6)
    w = 3 * draw.normal(size=d).astype(np.float32)
    X = np.empty((n, d), np.float32)
    for at in range(0, n, 50_000):
        X[at : at + 50_000] = draw.normal(size=(min(50_000, n - at), d)) / np.sqrt(d)
    y = draw.random(n) < 1 / (1 + np.exp(-(X @ w)))
    return X, y


def ease(n_users: int, n_items: int = 3000) -> tuple[np.ndarray, np.ndarray]:
    """XS07: who took what; popularity falls with rank^-0.8, 10 to 59 draws a user, each pair once."""
    draw = np.random.default_rng(7)
    p = np.arange(1, n_items + 1) ** -0.8
    many = draw.integers(10, 60, n_users)
    users = np.repeat(np.arange(n_users), many)
    items = draw.choice(n_items, len(users), p=p / p.sum())
    pairs = np.unique(np.column_stack([users, items]), axis=0)
    return pairs[:, 0], pairs[:, 1]
