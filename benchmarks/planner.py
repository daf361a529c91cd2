"""Are predicted costs true? After 32 requests of mixed sizes that teach, 200 more are predicted, run and compared.

Figures a learner and seed: the share of requests whose actual time is within a factor of two of the expected one, the
share within the 95 % figure, and the share beyond the bound. Over scenarios: what the chosen unlearner took against the
best of all that were run. Over rows chosen to be expensive: the share beyond the bound. And what a model says that it
weighs, against what the process gives back when it goes; and what a pace leaves of the differences between records.
"""

import ctypes
import gc
import json
import platform
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.scenes import adult, diabetes
from expunge.catalog import build
from expunge.core.dataset import Dataset
from expunge.core.deployment import Deployment
from expunge.core.lessons import lesson_for, lesson_name
from expunge.core.plans import choose
from expunge.core.policy import Policy
from expunge.core.request import ForgetRequest
from expunge.core.roles import Prepares
from expunge.core.seeds import Key
from expunge.fulfilment.padding import PaddedLatency

RESULTS = Path(__file__).parent / "results"
TEACH, ASK, SEEDS = 32, 200, 3
SIZES = (1, 1, 1, 1, 3, 10, 30, 100, 300)
LEARNERS = ("forest", "boosting", "ridge", "bayes", "neighbours")
HEAVY = ("forest", "boosting", "neighbours")
"""Learners whose models keep something of each record: what they weigh is measured."""
POLICY = Policy()


def deployed(learner: Any, data: Any, seed: int) -> Deployment:
    if isinstance(learner, Prepares):
        learner.prepare(lambda _: None)
    key, began = Key.generate(seed), time.perf_counter()
    model = learner.fit(data, key)
    return Deployment(learner, data, key, model, fit_s=time.perf_counter() - began)


def ran(name: str, deployment: Deployment, request: ForgetRequest) -> tuple[float, Deployment]:
    outcome = build("unlearner", name).unlearn(deployment, request)
    return outcome.cost.seconds, replace(outcome.after, fit_s=deployment.fit_s)


def truth(learner: Any, data: Any, seed: int) -> dict[str, Any]:
    """Teach, then ask; requests hit a deployment that goes on forgetting."""
    deployment, lessons, draw = deployed(learner, data, seed), {}, np.random.default_rng(seed)
    candidates = {"native": build("unlearner", "native"), "retrain": build("unlearner", "retrain")}
    errors, late, beyond = [], [], []
    for k in range(TEACH + ASK):
        size = int(draw.choice(SIZES))
        request = ForgetRequest(records=tuple(draw.choice(deployment.data.ids, size, replace=False).tolist()))
        plan = choose(candidates, deployment, request, POLICY, (), lessons)
        seconds, after = ran(plan.unlearner, deployment, request)
        told = plan.prediction
        lesson = lesson_for(lessons, plan.unlearner, size)
        name = lesson_name(plan.unlearner, size)
        raw = told.seconds / float(np.exp(lesson.bias))
        lessons[name] = lessons.get(name, type(lesson)()).after(raw, seconds)
        deployment = after
        if k >= TEACH:
            errors.append(float(np.log2(seconds / told.seconds)))
            late.append(seconds <= told.p95_s)
            beyond += [] if told.worst_s is None else [seconds > told.worst_s]
    return {
        "seed": seed,
        "within_factor_two": float(np.mean(np.abs(errors) <= 1)),
        "within_p95": float(np.mean(late)),
        "beyond_worst": float(np.mean(beyond)) if beyond else None,
        "median_log2_error": float(np.median(errors)),
        "lessons": {name: round(lesson.bias, 3) for name, lesson in lessons.items()},
    }


def regret(learner: Any, data: Any, scenarios: int = 20) -> list[float]:
    """What the chosen unlearner took, against the best of all that could serve, each run once from the same state."""
    deployment, draw = deployed(learner, data, 99), np.random.default_rng(99)
    candidates = {name: build("unlearner", name) for name in ("native", "retrain")}
    found = []
    for _ in range(scenarios):
        size = int(10 ** draw.uniform(0, np.log10(len(deployment.data) / 2)))
        request = ForgetRequest(records=tuple(draw.choice(deployment.data.ids, size, replace=False).tolist()))
        plan = choose(candidates, deployment, request, POLICY)
        times = {name: ran(name, deployment, request)[0] for name in candidates}
        found.append(times[plan.unlearner] / min(times.values()))
    return found


def expensive(data: Dataset) -> list[Any]:
    """Rows that an adversary would send: alone at the ends of numbers, alone in a category, and the largest owners."""
    found: list[int] = []
    for column in data.columns.values():
        values = np.asarray(column.values)
        if values.dtype.kind == "f":
            found += [int(np.nanargmin(values)), int(np.nanargmax(values))]
        else:
            counts = np.bincount(values[values >= 0], minlength=1)
            found.append(int(np.flatnonzero(values == np.argmin(np.where(counts > 0, counts, len(values))))[0]))
    owners, counts = np.unique(data.subjects, return_counts=True)
    largest = owners[np.argsort(-counts, kind="stable")[:5]]
    rows = [data.ids[[row]].tolist() for row in dict.fromkeys(found)]
    return rows + [data.ids[data.subjects == owner].tolist() for owner in largest]


def crafted(learner: Any, data: Dataset) -> dict[str, Any]:
    """The bound under requests that were chosen to be expensive, each from the same state."""
    deployment, unlearner = deployed(learner, data, 7), build("unlearner", "native")
    beyond, share = [], []
    for ids in expensive(data):
        request = ForgetRequest(records=tuple(ids))
        told = unlearner.predict_cost(deployment, request)
        seconds = unlearner.unlearn(deployment, request).cost.seconds
        if told.worst_s is not None:
            beyond.append(seconds > told.worst_s)
            share.append(seconds / told.worst_s)
    bound = {"beyond_worst": float(np.mean(beyond)), "largest_share_of_worst": max(share)} if share else {}
    return {"requests": len(expensive(data)), **bound}


def paced(learner: Any, data: Dataset, n: int = 100) -> dict[str, float]:
    """How far the time of a request depends on its record, without a pace and with one above the slowest."""
    deployment, unlearner = deployed(learner, data, 3), build("unlearner", "native")
    ids = np.random.default_rng(3).choice(data.ids, n, replace=False).tolist()

    def walls(pace_s: float | None) -> list[float]:
        found = []
        for i in ids:
            began = time.perf_counter()
            with PaddedLatency(pace_s):
                unlearner.unlearn(deployment, ForgetRequest(records=(i,)))
            found.append(time.perf_counter() - began)
        return found

    costs = [unlearner.unlearn(deployment, ForgetRequest(records=(i,))).cost.seconds for i in ids]
    plain = walls(None)
    hidden = walls(2 * max(plain))
    ranks = [np.argsort(np.argsort(x)) for x in (costs, plain, hidden)]
    return {
        "n": n,
        "slowest_over_fastest": max(costs) / min(costs),
        "rank_correlation": float(np.corrcoef(ranks[0], ranks[1])[0, 1]),
        "paced_slowest_over_fastest": max(hidden) / min(hidden),
        "paced_rank_correlation": float(np.corrcoef(ranks[0], ranks[2])[0, 1]),
    }


def resident() -> int:
    """Bytes of this process in memory, after what is free was given back."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def weigh(name: str) -> None:
    """Print what a model of 101,766 records says that it weighs, and what the process gives back when it goes."""
    _, data = diabetes()
    learner, key = build("learner", name), Key.generate(0)
    if isinstance(learner, Prepares):
        learner.prepare(lambda _: None)
    learner.fit(data.take(np.arange(2000)), key)
    data.positions(data.ids[:1].tolist())
    model = learner.fit(data, key)
    told, full = model.nbytes, resident()
    del model
    print(json.dumps({"n": len(data), "nbytes": told, "resident": full - resident()}))


def weighed(name: str) -> dict[str, Any]:
    """`weigh` in a process of its own, where nothing else comes and goes."""
    command = [sys.executable, "-c", f"from benchmarks.planner import weigh; weigh({name!r})"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def figures(name: str, data: Dataset) -> dict[str, Any]:
    learner = build("learner", name)
    found = {"learner": repr(learner), "name": name, "n": len(data)}
    found["runs"] = [truth(learner, data, seed) for seed in range(SEEDS)]
    found["regret"] = regret(learner, data)
    found["crafted"] = crafted(learner, data)
    if name == "forest":
        found["pace"] = paced(learner, data)
    if name in HEAVY:
        found["memory"] = weighed(name)
    return found


def main() -> None:
    _, data = adult()
    data = data.split(Key.public("holdout-0"), 0.2)[0]
    found = []
    for name in LEARNERS:
        began = time.perf_counter()
        found.append(figures(name, data))
        print(f"planner: {name} done, {time.perf_counter() - began:.0f} s", flush=True)
    RESULTS.mkdir(exist_ok=True)
    report = {"suite": "planner", "python": platform.python_version(), "machine": platform.machine(), "learners": found}
    (RESULTS / "planner.json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
