"""Run the grid: for each scene, kind of forgetting and seed every method on the same originals; resumable by cell."""

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.deep import tuning
from benchmarks.deep.releases import InReleases
from benchmarks.deep.scenes import BUILD, SETTINGS, Setting
from expunge import catalog
from expunge.audit.battery import run as battery
from expunge.audit.pools import Pool, Pools
from expunge.audit.scene import Scene, scene
from expunge.audit.worlds import Making, Numbers, pools_of
from expunge.core.deployment import Deployment
from expunge.core.errors import ExpungeError
from expunge.core.policy import AuditPolicy
from expunge.core.request import ForgetRequest
from expunge.core.seeds import Key
from expunge.core.verdict import verdict_of
from expunge.unlearners.method import Method

RESULTS = Path(__file__).resolve().parents[1] / "results" / "deep.json"
MEASURES = ("accuracy", "ulira", "likeness", "records")
SHOWN = (
    "membership.ulira_auc@after", "membership.ulira_auc_excess@after", "membership.ulira_auc_excess@before",
    "membership.ulira_tpr_1pct_excess@after", "likeness.record_test@after",
    "utility.kept_accuracy_excess@after", "utility.holdout_accuracy_excess@after",
    "utility.forgotten_accuracy_excess@after",
)  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """One run of the grid: all methods on the same originals."""

    scene: str
    kind: str
    seed: int
    n_models: int

    @property
    def name(self) -> str:
        return f"{self.scene}-{self.kind}-{self.seed}-{self.n_models}"


def methods() -> dict[str, Any]:
    """Every unlearner of the catalogue that changes networks, with its published defaults."""
    names = [e.name for e in catalog.ENTRIES if e.role == "unlearner" and e.kind == "empirical"]
    every = {name: catalog.build("unlearner", name) for name in names}
    return {name: method for name, method in every.items() if isinstance(method, Method)}


def run(cell: Cell, names: Iterable[str] | None = None, tune: bool = True) -> None:
    """Run what of a cell is not there yet; each method is a line of its file."""
    path = BUILD / f"{cell.name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    done = {json.loads(line)["method"] for line in path.read_text().splitlines()} if path.is_file() else set()
    setting = SETTINGS[cell.scene](cell.seed)
    pick = setting.kinds[cell.kind]
    ids = None if pick is None else pick(cell.seed)
    drawn = scene(
        setting.data, setting.learner, Key.public(f"{cell.scene}/{cell.seed}"), holdout=setting.holdout, forget=ids,
        n_population=setting.n_population,
    )  # fmt: skip
    how = Making(store=BUILD / "store", n_jobs=1)
    numbers = Numbers(cell.n_models, cell.n_models, second=True)
    chosen = {name: m for name, m in methods().items() if names is None or name in names}
    for name, method in chosen.items():
        if name in done:
            continue
        began = time.perf_counter()
        row = _row(cell, name, (method, setting, drawn, ids), (how, numbers, tune))
        row["wall_s"] = time.perf_counter() - began
        with path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(f"{cell.name} {name}: {row.get('error') or said(row)} ({row['wall_s']:.0f} s)", flush=True)
    if missing := [c for c in ("do nothing", "retrain") if c not in done]:
        pools = next(iter(pools_of(drawn, {"finetune": methods()["finetune"]}, numbers, how).values()))
        for name in missing:
            pool = pools.need("before") if name == "do nothing" else pools.controls["retrain 2"]
            row = _judged(cell, name, pools, pool) | {"repr": name, "factor": 1.0}
            with path.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(f"{cell.name} {name}: {said(row)}", flush=True)


def said(row: dict[str, Any]) -> str:
    """A row for people."""
    found = row["evidence"].get("membership.ulira_auc_excess@after", {})
    return f"U-LiRA excess {found.get('value', float('nan')):.3f}, {row['overall']}"


def _row(
    cell: Cell, name: str, what: tuple[Any, Setting, Scene, Any], how: tuple[Making, Numbers, bool]
) -> dict[str, Any]:
    method, setting, drawn, ids = what
    making, numbers, tune = how
    try:
        method, factor = tuning.tuned(name, method, setting, ids, cell.seed, making) if tune else (method, 1.0)
        unlearner = InReleases(method) if cell.kind == "stream" else method
        pools = pools_of(drawn, {name: unlearner}, numbers, making)[name]
    except ExpungeError as error:
        return {"cell": vars(cell), "method": name, "error": f"{error.code}: {error.message}"}
    found = _judged(cell, name, pools, pools.need("after"))
    return found | {"repr": repr(method), "factor": factor, "cost": cost_of(setting, drawn, unlearner)}


def _judged(cell: Cell, name: str, pools: Pools, pool: Pool) -> dict[str, Any]:
    policy = AuditPolicy(legacy=False)
    evidence = battery.run(pools.judging(pool), policy, MEASURES)
    shown = {e.name: e.as_json() for e in evidence if e.name in SHOWN or e.name.startswith("likeness.phi")}
    verdict = verdict_of(evidence, policy)
    return {
        "cell": vars(cell), "method": name, "evidence": shown,
        "findings": {f.question: f.status for f in verdict.findings}, "overall": verdict.overall,
    }  # fmt: skip


def cost_of(setting: Setting, drawn: Scene, unlearner: Any) -> dict[str, Any]:
    """What the method takes on one deployment, beside a training from the start."""
    from expunge.audit.pools import FORGOTTEN, KEPT

    roles = drawn.roles([0])[0]
    members = drawn.data.take((roles == KEPT) | (roles == FORGOTTEN))
    key = drawn.key_of("before", 0)
    began = time.perf_counter()
    model = setting.learner.fit(members, key)
    fit_s = time.perf_counter() - began
    deployment = Deployment(setting.learner, members, key, model, drawn.data.take(drawn.population), fit_s)
    gone = drawn.data.ids[roles == FORGOTTEN].tolist()
    cost = unlearner.unlearn(deployment, ForgetRequest(records=tuple(gone))).cost
    whole = setting.learner.epochs * (len(members) - len(gone))
    taken = (cost.forward or 0) + (cost.backward or 0) + 2 * (cost.products or 0)
    return {"seconds": cost.seconds, "fit_s": fit_s, "share": taken / (2 * whole), "steps": cost.steps}


def gather() -> dict[str, Any]:
    """The newest row of each method, scene, kind and seed, of the runs with the most models."""
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    known = {*methods(), "do nothing", "retrain"}
    for path in sorted(BUILD.glob("*.jsonl")):
        for line in path.read_text().splitlines():
            row = json.loads(line)
            cell = row["cell"]
            place = (cell["scene"], cell["kind"], cell["seed"], row["method"])
            fewer = rows.get(place, row)["cell"]["n_models"] <= cell["n_models"]
            if row["method"] in known and fewer:
                rows[place] = row
    return {"rows": list(rows.values()), "numpy": np.__version__}
