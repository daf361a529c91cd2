"""The demonstration: a hospital patient is forgotten, from raw data to a receipt that somebody else verifies."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from expunge.core.canonical import b64, canonical_json, read_json, unb64
from expunge.core.costs import span
from expunge.core.dataset import Dataset
from expunge.core.deployment import Deployment
from expunge.core.errors import BadData, StoreDamaged, Unsupported
from expunge.core.policy import Policy
from expunge.core.request import ForgetRequest, Id
from expunge.core.roles import Forgets, Progress
from expunge.core.seeds import Key
from expunge.data import diabetes130
from expunge.service.create import Recipe, check_place, create
from expunge.service.forgetting import Wish, dry_run, forget

MAX_RECEIPT_BYTES = 1 << 24
FEWEST = 8
SHOWN = ("membership.loss_auc", "membership.lira_auc", "utility.auc", "utility.accuracy")
RECIPE = Recipe("readmitted", "forest", {}, "patient_nbr", "encounter_id")

Step = Callable[[str], None]


@dataclass
class Demo:
    """One demonstration; `steps` runs it and yields (heading, lines) as it goes.

    Attributes:
        out: folder to make; the store, the receipts and the page lie in it.
        n_shadows: shadow models of the membership attack.
        n_rows: use only this many rows (tests); None for all.
        bars: heading → progress function of long work.
        say: told what takes long the first time.
    """

    out: Path
    n_shadows: int = 16
    n_rows: int | None = None
    bars: Callable[[str], Progress | None] = lambda label: None
    say: Callable[[str], None] = lambda line: None

    def __post_init__(self) -> None:
        self.facts: dict[str, Any] = {}
        self.store = self.out / "store"

    def steps(self) -> Iterator[tuple[str, list[str]]]:
        """Run the demonstration, one step of the main job at a time.

        Raises:
            StoreExists: there is something in the folder already.
        """
        check_place(self.out)
        data = self._load()
        yield "Load", self._loaded(data)
        yield "Train", self._train(data)
        yield "A patient asks to be forgotten", self._ask()
        yield "Forget", self._forget()
        yield "Measure", self._measured()
        yield "Verify", self._verify()

    def _load(self) -> Dataset:
        frame = diabetes130()
        return RECIPE.read(frame if self.n_rows is None else frame.head(self.n_rows))

    def _loaded(self, data: Dataset) -> list[str]:
        self.facts |= {"records": len(data), "patients": len(np.unique(data.subjects))}
        return [
            f"{len(data):,} hospital encounters of {self.facts['patients']:,} patients (Diabetes-130, CC BY 4.0);",
            f"target {data.target_name!r}; every record is owned by its patient.",
            *data.notes,
        ]

    def _train(self, data: Dataset) -> list[str]:
        self.deployment = RECIPE.train(data, Key.generate(0), self.bars("training"), self.say)
        self.out.mkdir(exist_ok=True)
        create(self.store, self.deployment, RECIPE)
        fit_s, held = self.deployment.fit_s or 0.0, self.deployment.holdout
        self.facts["fit_s"] = fit_s
        return [
            f"{self.deployment.learner!r}",
            f"on {len(self.deployment.data):,} encounters in {span(fit_s)};",
            f"{0 if held is None else len(held):,} encounters of other patients set aside; store: {self.store}",
        ]

    def _ask(self) -> list[str]:
        self.patient = someone(self.deployment)
        policy = Policy(n_shadows=self.n_shadows)
        self.wish = Wish(ForgetRequest(subject=self.patient), policy)
        n = len(self.deployment.data.owned_by(self.patient))
        rulings, plan = dry_run(self.store, self.wish)
        self.facts |= {"patient": self.patient, "n_forgotten": n, "plan": plan.unlearner, "why": plan.why}
        return [
            f"patient {self.patient}, {n} encounters in the training data",
            *(f"screen {r.screen}: {r.verdict} {' '.join(r.reasons)}".rstrip() for r in rulings),
            f"plan: {plan.why}",
            *(f"not considered: {d.name} ({d.reason})" for d in plan.dropped),
        ]

    def _forget(self) -> list[str]:
        alone_s = timed_alone(self.deployment, self.patient)
        started = time.perf_counter()
        self.done = forget(self.store, self.wish, self.bars("measuring"))
        report = self.done.facts
        retrain_s = report.done.reference_s or 0.0
        equal = report.digests.after == report.digests.reference
        self.facts |= {"forget_s": alone_s, "retrain_s": retrain_s, "bit_identical": equal}
        self.facts["request_s"] = time.perf_counter() - started
        return [
            f"forgetting alone   {span(alone_s):>10}   (median of 5, in memory)",
            f"retraining         {span(retrain_s):>10}   ({retrain_s / alone_s:,.0f} times as long)",
            f"before             {report.digests.before}",
            f"after forgetting   {report.digests.after}",
            f"retrained without  {report.digests.reference}   {'bit-identical' if equal else 'DIFFERENT'}",
            f"whole request      {span(self.facts['request_s']):>10}   (with retraining, attacks, signature, clean-up)",
        ]

    def _measured(self) -> list[str]:
        found = {e.name: e for e in self.done.facts.evidence}
        lines = [f"{'':<22}{'before':<26}{'after':<26}{'retrained without':<26}"]
        for measure in SHOWN:
            arms = [found.get(f"{measure}@{arm}") for arm in ("before", "after", "reference")]
            if all(e is not None and e.status == "measured" for e in arms):
                cells = [f"{e.value:.3f} [{e.low:.3f}, {e.high:.3f}]" for e in arms if e is not None]
                lines.append(f"{measure.partition('.')[2]:<22}" + "".join(f"{cell:<26}" for cell in cells))
        n = self.facts["n_forgotten"]
        return [*lines, f"95 % intervals; with {n} records of one person they are wide. The right value of an attack is"
                " the retrained model's, not 0.5."]  # fmt: skip

    def _verify(self) -> list[str]:
        receipt, trust = self.done.receipt, self.store / "trust.json"
        code, said = second_process(receipt, trust)
        if code != 0:
            raise StoreDamaged(f"the receipt does not verify: {said}")
        forged = self.out / "forged-receipt.json"
        forged.write_bytes(tampered(receipt.read_bytes()))
        refused, why = second_process(forged, trust)
        if refused == 0:
            raise StoreDamaged("a forged receipt verifies")
        self.facts |= {"verified": said["verified"], "level": said["level"], "log_index": said["index"]}
        self.facts |= {"forged_exit_code": refused, "forged_error": why["error"]["code"]}
        loaded = said["learning_libraries_loaded"]
        self.facts["verifier_loaded"] = loaded
        self.facts["files"] = self.files(forged)
        return [
            f"second process: verified, entry {said['index']} of {said['log_size']} in the log, level {said['level']};"
            f" learning libraries loaded: {', '.join(loaded) or 'none'}",
            f"forged receipt (one record more): exit {refused}, {why['error']['code']}: {why['error']['message']}",
        ]

    def files(self, forged: Path) -> dict[str, str]:
        """Put copies of page and receipt on top, and return where everything is."""
        page, receipt = self.out / "report.html", self.out / "receipt.json"
        page.write_bytes(self.done.report.read_bytes())
        receipt.write_bytes(self.done.receipt.read_bytes())
        return {
            "report": str(page),
            "receipt": str(receipt),
            "trust root": str(self.store / "trust.json"),
            "log": str(self.store / "log"),
            "store": str(self.store),
            "forged": str(forged),
        }


def someone(deployment: Deployment) -> Id:
    """Return a patient with several training encounters: the first by a fixed keyed hash.

    Raises:
        BadData: nobody has enough.
    """
    owners, counts = np.unique(deployment.data.subjects, return_counts=True)
    enough = owners[counts >= FEWEST]
    if not len(enough):
        raise BadData(f"nobody has {FEWEST} encounters")
    order = Key.public("demo").words(enough.tolist(), "owner")
    chosen: Id = enough[int(np.argmin(order))].item()
    return chosen


def timed_alone(deployment: Deployment, patient: Id) -> float:
    """Return how long the model alone takes to forget, in seconds: median of five, compiled before.

    Raises:
        Unsupported: the model cannot forget by itself.
    """
    model, ids = deployment.model, deployment.data.owned_by(patient)
    if not isinstance(model, Forgets):
        raise Unsupported("this model cannot forget by itself")
    model.without(deployment.data.ids[:1].tolist())
    times = []
    for _ in range(5):
        started = time.perf_counter()
        model.without(ids)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def second_process(receipt: Path, trust: Path) -> tuple[int, dict[str, Any]]:
    """Run ``expunge verify`` in a process of its own; return its exit code and what it said."""
    line = [sys.executable, "-m", "expunge.cli", "verify", str(receipt), "--trust", str(trust), "--json"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)  # noqa: S603 - our own command
    said = done.stdout if done.returncode == 0 else done.stderr
    try:
        return done.returncode, json.loads(said)
    except ValueError:
        return done.returncode, {"error": {"code": "unexpected", "message": said[-200:]}}


def tampered(receipt: bytes) -> bytes:
    """Return a receipt whose statement says that one record more was forgotten."""
    fields = read_json(receipt, MAX_RECEIPT_BYTES)
    payload = read_json(unb64(fields["envelope"]["payload"]), MAX_RECEIPT_BYTES)
    payload["predicate"]["scope"]["n_forgotten"] += 1
    fields["envelope"]["payload"] = b64(canonical_json(payload))
    return canonical_json(fields)
