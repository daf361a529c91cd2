"""The loop against plain ones, in one run: stacks of replicas (K02, K04), and each method's cost over its least passes.

The plain loops are written out here as anybody would write them; they may not live in the package.
"""

import json
import time
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import torch

from benchmarks.deep.scenes import TEN, pictures, stack
from benchmarks.deep.suite import methods
from expunge.audit.battery import ulira
from expunge.audit.scene import scene
from expunge.audit.worlds import Making, Numbers, pools_of
from expunge.core.deployment import Deployment
from expunge.core.policy import AuditPolicy
from expunge.core.request import ForgetRequest
from expunge.core.seeds import Key
from expunge.models.descent import Pace
from expunge.models.network import Network
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


class Recipe(NamedTuple):
    """What a method's least passes are, as one of its own runs told."""

    optimiser: type[torch.optim.Optimizer]
    settings: dict[str, Any]
    batch: int
    steps: int
    backward: int
    forward: int
    classes: int = 0


def recipe_of(method: Any, deployment: Deployment, gone: tuple[Any, ...]) -> Recipe:
    """The recipe of a method: optimiser and settings of its descent, batch, and what its meter counts."""
    built: list[torch.optim.Optimizer] = []
    build = Pace.build

    def kept(pace: Pace, module: torch.nn.Module) -> torch.optim.Optimizer:
        built.append(build(pace, module))
        return built[-1]

    with patch.object(Pace, "build", kept):
        cost = method.unlearn(deployment, ForgetRequest(records=gone)).cost
    backward, forward = cost.backward or 0, cost.forward or 0
    if not built:  # no step is taken: gradients of every class, record by record
        return Recipe(torch.optim.SGD, {}, 512, 0, backward, forward, 10)
    settings = built[-1].defaults | {"lr": 1e-9, "maximize": False}
    return Recipe(type(built[-1]), settings, method.batch, cost.steps or 0, backward, forward)


def plain_unlearning(module: torch.nn.Module, sides: tuple[torch.Tensor, torch.Tensor], recipe: Recipe) -> float:
    """Seconds of processor time of one copy of the module, and a method's passes and steps, by the plain loop."""
    X, y = sides
    began = time.process_time()
    module = deepcopy(module)
    optimiser = recipe.optimiser(module.parameters(), **recipe.settings or {"lr": 1e-9})
    backward = forward = step = 0
    while backward < recipe.backward:
        rows = torch.arange(step * recipe.batch, step * recipe.batch + min(recipe.batch, recipe.backward - backward))
        x, wanted = X[rows % len(X)], y[rows % len(X)]
        optimiser.zero_grad()
        outputs = module(x)
        for _ in range(recipe.classes - 1):
            torch.nn.functional.cross_entropy(outputs, wanted).backward(retain_graph=True)
        torch.nn.functional.cross_entropy(outputs, wanted).backward()
        backward, forward, step = backward + len(rows), forward + len(rows), step + 1
        if step <= recipe.steps:
            optimiser.step()
        while (recipe.forward - recipe.backward) * backward > (forward - backward + len(rows) / 2) * recipe.backward:
            with torch.no_grad():
                module(x)  # a teacher's, or an evaluation's
            forward += len(rows)
    return time.process_time() - began


DESCENTS = (
    "finetune", "ascent", "negative-plus", "relabel", "last-layers", "scrub", "bad-teacher", "delete", "sparse",
    "saliency", "contrast", "small-gradients", "transpose", "fisher",
)  # fmt: skip
"""Methods that are steps over batches, and one of gradients by record; others take products of curvature."""


def overheads(names: tuple[str, ...] = DESCENTS, repeats: int = 5, n_records: int = 10_000) -> list[dict[str, Any]]:
    """Processor time of each method over that of its least passes, run in turns, a fifth of the records forgotten."""
    torch.set_num_threads(1)
    draw = np.random.default_rng(0)
    X = draw.normal(size=(n_records, 64)).astype(np.float32)
    data = pictures(X, X[:, :10].argmax(axis=1), TEN)
    learner, key = Network((512, 512), epochs=1, batch=64, optimiser="sgd", rate=0.05, form="plain"), Key.public(0)
    model = learner.fit(data, key)
    deployment = Deployment(learner, data, key, model, None, 1.0)
    gone = tuple(data.ids[: n_records // 5].tolist())
    sides = (torch.from_numpy(data.columns["x"].values), torch.from_numpy(data.target.values.astype(np.int64)))
    found = []
    for name, method in methods().items():
        if names and name not in names:
            continue
        recipe, ratios = recipe_of(method, deployment, gone), []
        for _ in range(repeats):
            began = time.process_time()
            method.unlearn(deployment, ForgetRequest(records=gone))
            taken = time.process_time() - began
            ratios.append(taken / plain_unlearning(deployment.model.module, sides, recipe))
        found.append({
            "method": name, "ratios": ratios, "backward": recipe.backward, "forward": recipe.forward,
            "optimiser": recipe.optimiser.__name__, "n_records": n_records,
        })  # fmt: skip
        low, middle, high = min(ratios), np.median(ratios), max(ratios)
        print(f"{name}: {middle:.2f} times its least passes ({low:.2f}-{high:.2f})", flush=True)
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
