"""The loop against plain ones, in one run: stacks of replicas (K02, K04), and each method's cost over its least passes.

The plain loops are written out here as anybody would write them; they may not live in the package.
"""

import json
import time
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.deep.scenes import stack
from benchmarks.deep.suite import methods
from expunge.audit.battery import ulira
from expunge.audit.scene import scene
from expunge.audit.worlds import Making, Numbers, pools_of
from expunge.core.deployment import Deployment
from expunge.core.policy import AuditPolicy
from expunge.core.request import ForgetRequest
from expunge.core.seeds import Key
from expunge.unlearners.approximate.finetune import Finetune

RESULTS = Path(__file__).resolve().parents[1] / "results" / "deep-speed.json"


def plain_training(X: torch.Tensor, y: torch.Tensor, epochs: int, seed: int) -> torch.nn.Module:
    """One perceptron, trained by the loop that everybody writes."""
    torch.manual_seed(seed)
    module = torch.nn.Sequential(torch.nn.Linear(X.shape[1], 128), torch.nn.ReLU(), torch.nn.Linear(128, 10))
    optimiser = torch.optim.SGD(module.parameters(), lr=0.05, momentum=0.9)
    for _ in range(epochs):
        for rows in torch.randperm(len(X)).split(64):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(module(X[rows]), y[rows]).backward()
            optimiser.step()
    return module


def probe(n_models: int = 128, plain: int = 8) -> dict[str, Any]:
    """K02, K04: the digits probe, against a plain loop over a few of its models (scaled to all)."""
    torch.set_num_threads(1)
    setting = stack(0)
    X = torch.from_numpy(setting.data.columns["x"].values)
    y = torch.from_numpy(setting.data.target.values.astype(np.int64))
    drawn = scene(setting.data, setting.learner, Key.public(0), n_population=297)
    members = (drawn.roles(range(plain)) == 1) | (drawn.roles(range(plain)) == 2)
    plain_training(X[:64], y[:64], 1, 0)  # what torch loads for a first step is in nobody's timing
    began = time.perf_counter()
    for i in range(plain):
        plain_training(X[members[i]], y[members[i]], setting.learner.epochs, i)
    alone_s = (time.perf_counter() - began) / plain
    began = time.perf_counter()
    setting.learner.fit_many(
        setting.data, members.repeat(8, axis=0)[: 8 * plain], [Key.public(i) for i in range(8 * plain)]
    )
    together_s = (time.perf_counter() - began) / (8 * plain)
    began = time.perf_counter()
    method = Finetune(epochs=6, rate=0.02, decay=0.0)
    pools = pools_of(drawn, {"ft": method}, Numbers(n_models, n_models, second=False), Making(vectorise=True))["ft"]
    made_s = time.perf_counter() - began
    began = time.perf_counter()
    both = Making(vectorise=True, n_jobs=2)
    pools_of(drawn, {"ft": method}, Numbers(n_models, n_models, second=False), both)
    two_s = time.perf_counter() - began
    began = time.perf_counter()
    evidence = {e.name: e for e in ulira.measure(pools, AuditPolicy(legacy=False))}
    scored_s = time.perf_counter() - began
    shown = {arm: evidence[f"membership.ulira_auc@{arm}"].as_json() for arm in ("before", "after", "reference")}
    whole = 2 * setting.learner.epochs + method.epochs * 0.8
    return {
        "n_models": n_models, "made_s": made_s, "two_cores_s": two_s, "scored_s": scored_s, "auc": shown,
        "plain_s": alone_s * n_models * whole / setting.learner.epochs, "plain_models": plain,
        "training_ratio": alone_s / together_s,
    }  # fmt: skip


def plain_unlearning(module: torch.nn.Module, sides: Any, steps: int, teachers: int) -> float:
    """Seconds of as many forward and backward passes as a method needs at least, by the plain loop."""
    X, y = sides
    module = deepcopy(module)
    optimiser = torch.optim.SGD(module.parameters(), lr=1e-9, momentum=0.9)
    began = time.perf_counter()
    for step in range(steps):
        rows = torch.arange(step * 64, step * 64 + 64) % len(X)
        for _ in range(teachers):
            with torch.no_grad():
                module(X[rows])
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(module(X[rows]), y[rows]).backward()
        optimiser.step()
    return time.perf_counter() - began


DESCENTS = (
    "finetune", "ascent", "negative-plus", "relabel", "last-layers", "scrub", "bad-teacher", "delete", "sparse",
    "saliency", "contrast", "small-gradients", "transpose",
)  # fmt: skip
"""Methods that are nothing but steps over batches; the others take gradients by record, or products of curvature."""


def overheads(names: tuple[str, ...] = DESCENTS, repeats: int = 5) -> list[dict[str, Any]]:
    """Each method's seconds over those of its least passes, on a network large enough that passes are what costs."""
    torch.set_num_threads(1)
    setting = stack(0)
    learner = replace(setting.learner, hidden=(512, 512), epochs=5)
    data, key = setting.data.take(np.arange(1280)), Key.public(0)
    model = learner.fit(data, key)
    deployment = Deployment(learner, data, key, model, setting.data.take(np.arange(1280, 1797)), 1.0)
    gone = tuple(data.ids[np.arange(128)].tolist())
    X = torch.from_numpy(data.columns["x"].values)
    y = torch.from_numpy(data.target.values.astype(np.int64))
    found = []
    for name, method in methods().items():
        if names and name not in names:
            continue
        ratios = []
        for _ in range(repeats):
            cost = method.unlearn(deployment, ForgetRequest(records=gone)).cost
            steps = round((cost.backward or 0) / 64) or 1
            extra = max(0, round(((cost.forward or 0) - (cost.backward or 0)) / max(cost.backward or 1, 1)))
            least = plain_unlearning(deployment.model.module, (X, y), steps, extra)
            ratios.append(cost.seconds / least)
        found.append({"method": name, "ratios": ratios, "backward": cost.backward, "forward": cost.forward})
        print(f"{name}: {np.median(ratios):.2f} times its least passes", flush=True)
    return found


def main(parts: str = "probe,overheads") -> None:
    found = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    wanted = {"probe": probe, "overheads": overheads}
    found |= {part: wanted[part]() for part in parts.split(",")} | {"torch": torch.__version__}
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    one = found["probe"]
    print(f"digits probe: {one['made_s']:.0f} s on one core, {one['two_cores_s']:.0f} s on two")
    print(f"scoring with intervals: {one['scored_s']:.1f} s")
    print(f"plain loop: {one['plain_s']:.0f} s; training in stacks is {one['training_ratio']:.1f} times as fast")
