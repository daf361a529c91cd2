"""The canonical forest against scikit-learn's, and forgetting against refitting: one thread, CPU seconds, one run.

Our rows are void unless the forest that forgot has, in the same run, the digest of one fitted on the kept records.
"""

import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sklearn
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import OrdinalEncoder

from benchmarks.scenes import SCENES
from expunge.core.dataset import Dataset
from expunge.core.seeds import Key
from expunge.models.forest.learner import Forest

RESULTS = Path(__file__).parent / "results"
REPEATS = 3
DELETIONS = 200
PEERS = {
    "scikit-learn, its defaults": {},
    "scikit-learn, our depth and node size": {"max_depth": 20, "min_samples_split": 10},
}


def cpu(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.process_time()
    out = work()
    return time.process_time() - began, out


def numbers(frame: pd.DataFrame, train: Dataset, test: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """The table as scikit-learn takes it: categories by their order, which fits fastest and loses no AUC here."""
    features = frame.drop(columns=train.target_name)
    texts = [c for c in features if features[c].dtype.kind not in "if"]
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    features[texts] = encoder.fit(features.loc[train.ids, texts].astype(str)).transform(features[texts].astype(str))
    table = features.to_numpy(np.float32)
    place = pd.Series(np.arange(len(features)), index=features.index)
    return table[place.loc[train.ids]], table[place.loc[test.ids]]


def ours(train: Dataset, test: Dataset, seed: int) -> dict[str, Any]:
    key, learner = Key.public(seed), Forest()
    fit_s, model = cpu(lambda: learner.fit(train, key))
    auc = roc_auc_score(test.target.values, model.probabilities(test)[:, 1])
    n_bytes = model.nbytes
    rng = np.random.default_rng(seed)
    ids = rng.permutation(train.ids)[: 2 * DELETIONS].tolist()
    single = [cpu(lambda record=record: model.forget([record]))[0] for record in ids[:DELETIONS]]
    settle_s, _ = cpu(model.settle)
    copied = []
    for record in ids[DELETIONS:]:
        spent, model = cpu(lambda record=record, model=model: model.without([record]))
        copied.append(spent)
    refit_s, fresh = cpu(lambda: learner.fit(train.without(ids), key))
    batch = rng.permutation(fresh.data.ids)[: len(fresh) // 10].tolist()
    batch_s, shrunk = cpu(lambda: model.without(batch))
    return {
        "seed": seed,
        "fit_s": fit_s,
        "refit_s": refit_s,
        "auc": auc,
        "bytes": n_bytes,
        "forget_ms": [1e3 * s for s in single],
        "without_ms": [1e3 * s for s in copied],
        "settle_ms": 1e3 * settle_s,
        "batch_10pct_s": batch_s,
        "identical": model.digest() == fresh.digest()
        and shrunk.digest() == learner.fit(train.without([*ids, *batch]), key).digest(),
    }


def scene(name: str) -> dict[str, Any]:
    frame, data = SCENES[name]()
    out: dict[str, Any] = {"name": name, "ours": [], "peers": []}
    for seed in range(REPEATS):
        train, test = data.split(Key.public(f"holdout-{seed}"), 0.2)
        X, Z = numbers(frame, train, test)
        out |= {"n": len(train), "d": len(train.columns), "subjects": len(np.unique(train.subjects))}
        out["ours"].append(ours(train, test, seed))
        for peer, params in PEERS.items():
            forest = RandomForestClassifier(100, n_jobs=1, random_state=seed, **params)
            fit_s, _ = cpu(lambda forest=forest, X=X, train=train: forest.fit(X, train.target.values))
            auc = roc_auc_score(test.target.values, forest.predict_proba(Z)[:, 1])
            out["peers"].append({"peer": peer, "seed": seed, "fit_s": fit_s, "auc": auc})
        print(f"{name}: run {seed + 1} of {REPEATS} done, identical = {out['ours'][-1]['identical']}", flush=True)
    return out


def main() -> None:
    Forest().prepare(print)
    found = []
    for name in SCENES:
        try:
            found.append(scene(name))
        except FileNotFoundError as error:
            print(f"{name}: left out, {error}")
            found.append({"name": name, "left_out": str(error)})
    RESULTS.mkdir(exist_ok=True)
    report = {
        "suite": "forest",
        "learner": repr(Forest()),
        "scikit_learn": sklearn.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "scenes": found,
    }
    (RESULTS / "forest.json").write_text(json.dumps(report, indent=1) + "\n")
