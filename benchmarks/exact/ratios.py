"""Ratios out of finished runs: taken repetition by repetition, void where our bits were not those of a refit."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

Run = dict[str, Any]
Figure = Callable[[Run], float | None]

BOOSTERS = ("LightGBM", "XGBoost", "hessboost")


@dataclass(frozen=True)
class Ratio:
    """Theirs over ours, one value a repetition; empty where one side is missing, with the reason."""

    values: tuple[float, ...] = ()
    ours: tuple[float, ...] = ()
    theirs: tuple[float, ...] = ()
    why: str = ""
    gaps: tuple[float, ...] = ()

    @property
    def gap(self) -> float | None:
        """Ours minus their AUC after the fit, median over the repetitions; None where there is no AUC."""
        return float(np.median(self.gaps)) if self.gaps else None

    @property
    def middle(self) -> float | None:
        return float(np.median(self.values)) if self.values else None

    def text(self) -> str:
        if not self.values:
            return f"– ({self.why})"
        low, high = min(self.values), max(self.values)
        return f"{_short(float(np.median(self.values)))}× ({_short(low)}–{_short(high)})"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 20 else f"{value:.2g}" if value < 1 else f"{value:.1f}"


def cpu(step: str) -> Figure:
    """Return the CPU seconds of a step, with what was put off until the first predictions."""

    def figure(run: Run) -> float | None:
        told = run["steps"].get(step)
        if not told or "cpu_s" not in told:
            return None
        return float(told["cpu_s"]) + max(0.0, float(told.get("deferred_cpu_s", 0.0)))

    return figure


def single(name: str = "mean", step: str = "single", deferred: bool = True) -> Figure:
    """Return the seconds of one deletion: its first prediction included where that is put off, shared among all."""

    def figure(run: Run) -> float | None:
        told = run["steps"].get(step)
        spread = told and (told.get("served_ms") or told.get("single_ms"))
        if not spread:
            return None
        put_off = max(0.0, told.get("deferred_cpu_s", 0.0)) / spread["n"] if deferred and name == "mean" else 0.0
        return float(spread[name]) / 1e3 + put_off

    return figure


def settled(step: str = "single") -> Figure:
    """Return the seconds of one deletion with the canonical weights after it, which a digest asks for."""

    def figure(run: Run) -> float | None:
        spread = run["steps"].get(step, {}).get("settled_ms")
        return None if spread is None else float(spread["mean"]) / 1e3

    return figure


def copied(run: Run) -> float | None:
    """Return the seconds of one deletion into a model of its own, the one before left as it was."""
    spread = run["steps"].get("scratch", {}).get("copied_ms")
    return None if spread is None else float(spread["mean"]) / 1e3


def wall(run: Run) -> float | None:
    """Return the wall seconds of one deletion, for peers that tell no CPU time of theirs."""
    told = run["steps"].get("single", {})
    spread = told.get("wall_ms") or (told.get("single_ms") if told.get("clock") == "wall" else None)
    return None if spread is None else float(spread["mean"]) / 1e3


def memory(run: Run) -> float | None:
    """Return the growth of the process over the fit, or what the model says it holds if that is more."""
    fit = run["steps"].get("fit", {})
    value = max(fit.get("rss_bytes", 0), fit.get("held_bytes", 0))
    return float(value) if value > 0 else None


def auc(step: str = "fit") -> Figure:
    """Return the AUC after a step."""
    return lambda run: run["steps"].get(step, {}).get("auc")


def void(run: Run) -> bool:
    """Say whether a run of ours proves nothing: it ended without equal bits, or with others."""
    scratch = run["steps"].get("scratch", {})
    promised = scratch.get("identical", scratch.get("certified"))
    return run["folder"] == "ours" and promised is not True


def pick(runs: Iterable[Run], scene: str, peer: str, variant: str = "", series: str = "peers") -> dict[int, Run]:
    """Return seed → run of one peer (by the name it gives itself) on one scene."""
    return {
        run["seed"]: run
        for run in runs
        if (run["scene"], run["peer"], run["series"]) == (scene, peer, series)
        and (not variant or run["variant"] == variant)
    }


def reason(runs: Iterable[Run], scene: str, folder: str, variant: str) -> str:
    """Return why there is no figure of a run."""
    for run in runs:
        if (run["scene"], run["folder"]) == (scene, folder) and (not variant or run["variant"] == variant):
            for step in ("left out", "failed"):
                if step in run["steps"]:
                    return str(run["steps"][step]["why"])
    return "not run"


def ratio(
    theirs: dict[int, Run], ours: dict[int, Run], of: Figure, beside: Figure | None = None, why: str = ""
) -> Ratio:
    """Return theirs over ours for the repetitions that both have.

    Args:
        theirs, ours: of `pick`.
        of: the figure on their side.
        beside: the figure on ours; default: the same.
        why: said where nothing can be compared.
    """
    found: list[tuple[float, float]] = []
    gaps: list[float] = []
    for seed in sorted(theirs.keys() & ours.keys()):
        if void(ours[seed]):
            return Ratio(why="void: not identical to a scratch fit in the same run")
        a, b = of(theirs[seed]), (beside or of)(ours[seed])
        if a is not None and b:
            found.append((a, b))
            scores = auc()(ours[seed]), auc()(theirs[seed])
            gaps += [scores[0] - scores[1]] if None not in scores and theirs is not ours else []
    if not theirs.keys() & ours.keys():
        return Ratio(why=why or "one of the two was not run")
    if not found:
        return Ratio(why="one of the two has no such figure")
    left, right = zip(*found, strict=True)
    return Ratio(tuple(a / b for a, b in found), right, left, gaps=tuple(gaps))


def fastest(runs: list[Run], scene: str, step: str, series: str = "peers") -> dict[int, Run]:
    """Return seed → the run of the booster that was fastest in a step."""
    found: dict[int, Run] = {}
    for peer in BOOSTERS:
        for seed, run in pick(runs, scene, peer, "boosting", series).items():
            took, best = cpu(step)(run), cpu(step)(found[seed]) if seed in found else None
            if took is not None and (best is None or took < best):
                found[seed] = run
    return found
