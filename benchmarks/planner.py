"""Are predicted costs true? After 32 requests of mixed sizes that teach, 200 more are predicted, run and compared.

Three figures a learner and seed: the share of requests whose actual time is within a factor of two of the expected one,
the share within the 95 % figure, and the share beyond the bound. A fourth over scenarios: what the chosen unlearner
took against the best of all that were run.
"""

import json
import platform
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.scenes import adult
from expunge.catalog import build
from expunge.core.deployment import Deployment
from expunge.core.lessons import lesson_for, lesson_name
from expunge.core.plans import choose
from expunge.core.policy import Policy
from expunge.core.request import ForgetRequest
from expunge.core.roles import Prepares
from expunge.core.seeds import Key

RESULTS = Path(__file__).parent / "results"
TEACH, ASK, SEEDS = 32, 200, 3
SIZES = (1, 1, 1, 1, 3, 10, 30, 100, 300)
LEARNERS = ("forest", "boosting", "ridge", "bayes", "neighbours")
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
            beyond.append(told.worst_s is not None and seconds > told.worst_s)
    return {
        "seed": seed,
        "within_factor_two": float(np.mean(np.abs(errors) <= 1)),
        "within_p95": float(np.mean(late)),
        "beyond_worst": float(np.mean(beyond)),
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


def main() -> None:
    wanted = sys.argv[2:] or LEARNERS
    _, data = adult()
    data = data.split(Key.public("holdout-0"), 0.2)[0]
    found = []
    for name in wanted:
        learner = build("learner", name)
        target = replace(data)
        runs = [truth(learner, target, seed) for seed in range(SEEDS)]
        found.append(
            {"learner": repr(learner), "name": name, "n": len(data), "runs": runs, "regret": regret(learner, data)}
        )
        middle = {
            k: round(float(np.median([r[k] for r in runs])), 3)
            for k in ("within_factor_two", "within_p95", "beyond_worst")
        }
        print(name, middle, "regret", np.round(np.quantile(found[-1]["regret"], [0.5, 0.9, 1.0]), 2), flush=True)
    RESULTS.mkdir(exist_ok=True)
    report = {"suite": "planner", "python": platform.python_version(), "machine": platform.machine(), "learners": found}
    (RESULTS / "planner.json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
