"""What the audit's measures cost and give where nothing is left: the NeurIPS scorer, KLoM, and the whole battery.

The published rules are also written here as plain loops over records and thresholds, as their papers state them; ours
run on the same records in the same process, and must give the same numbers.
"""

import json
import platform
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import scipy

from benchmarks import audit_page
from expunge.audit.battery import klom, quality
from expunge.audit.battery.grid import grid_epsilons
from expunge.audit.battery.run import ALL, run
from expunge.audit.battery.sides import Sides
from expunge.audit.pools import FORGOTTEN, KEPT, NEVER, POPULATION, Pool, Pools
from expunge.core.policy import AuditPolicy

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "audit.json"
DELTA = 1e-5
DRAWS: dict[str, Callable[[np.random.Generator, tuple[int, ...]], Any]] = {
    "normal": lambda g, s: g.normal(size=s),
    "Student t, 3 degrees": lambda g, s: g.standard_t(3, size=s),
    "logistic": lambda g, s: g.logistic(size=s),
}
PRINTED_F = {(32, 1.0): 0.173, (64, 1.0): 0.178, (128, 1.0): 0.165, (256, 1.0): 0.203, (128, 2.5): 0.225}
"""Models a side and standard deviation of two equal normal pools → F of the published grid, as the field knows it."""
PRINTED_KLOM = {20: 2.99, 50: 0.83, 100: 0.33, 200: 0.14, 500: 0.05}
"""Models a side → KLoM of two equal normal pools."""


def loop_epsilon(after: Any, reference: Any) -> float:
    """Return the challenge's ε of one record by its rule, threshold by threshold, nothing shared between them."""
    positive, negative = (reference, after) if np.median(reference) > np.median(after) else (after, reference)
    ranges = sorted((float(np.ptp(positive)), float(np.ptp(negative))))
    if ranges[1] > 0 and ranges[0] / ranges[1] < 0.01:
        return 50.0
    low, high = min(positive.min(), negative.min()), max(positive.max(), negative.max())
    best = 0.0
    for cut in np.linspace(low, high, int(np.ceil((high - low) * 100))):
        best = max(best, loop_rates(np.mean(positive < cut), np.mean(negative >= cut)))
    if np.ptp(positive) >= np.ptp(negative):
        positive, negative = negative, positive
    width = positive.max() - positive.min()
    start, end = positive.min() + width - 2, positive.max() + 2
    for right in np.linspace(start, end, int(np.ceil((end - start) * 100))):
        for left in np.linspace(right - width - 2, right - width + 2, 400):
            missed = np.mean((positive < left) | (positive > right))
            best = max(best, loop_rates(missed, np.mean((negative >= left) & (negative <= right))))
    return min(best, 50.0)


def loop_rates(fnr: Any, fpr: Any) -> float:
    """Return ε of one guess: 50 without any error, left out with one kind alone, else the larger branch; in float32."""
    fnr, fpr = np.float32(fnr), np.float32(fpr)
    if fnr == 0 and fpr == 0:
        return 50.0
    if fnr == 0 or fpr == 0:
        return -np.inf
    with np.errstate(invalid="ignore"):  # an error rate of one has no logarithm on its branch
        return float(np.fmax(np.log(1 - DELTA - fpr) - np.log(fnr), np.log(1 - DELTA - fnr) - np.log(fpr)))


def loop_klom(after: Any, reference: Any) -> float:
    """Return the published KLoM of one record, form of 2026: 20 bins, the largest margin lost."""
    p, q = np.clip(after, -100, 100), np.clip(reference, -100, 100)
    low, high = min(p.min(), q.min()), max(p.max(), q.max())
    edges = np.linspace(low, high if low < high else low + 1, 21)
    shares = []
    for x in (p, q):
        counts = np.array([np.sum(np.digitize(x, edges) == b) for b in range(1, 21)])
        shares.append(counts / counts.sum() if counts.sum() else np.zeros(20))
    p, q = shares
    q = np.where(p > 0, np.maximum(q, 1e-5), q)
    return float(np.sum(p[p > 0] * np.log(p[p > 0] / q[p > 0])))


def timed(work: Callable[[], Any], repeats: int = 1) -> tuple[Any, float]:
    """Return what the work gives, and the smallest of its CPU seconds."""
    seconds = []
    for _ in range(repeats):
        began = time.process_time()
        found = work()
        seconds.append(time.process_time() - began)
    return found, min(seconds)


def scorer(n_models: int = 256, n_loop: int = 4, n_ours: int = 64) -> dict[str, Any]:
    """K05: seconds a record of the loop, of our grid and of our exact sweep, and whether grid and loop agree."""
    a, r = np.random.default_rng(0).normal(size=(2, n_models, n_ours))
    theirs, loop_s = timed(lambda: np.array([loop_epsilon(a[:, i], r[:, i]) for i in range(n_loop)]))
    grid_epsilons(a[:, :1], r[:, :1])
    ours, grid_s = timed(lambda: grid_epsilons(a, r), 3)
    exact, exact_s = timed(lambda: quality.epsilons(a, r), 3)
    return {
        "n_models": n_models,
        "loop_ms": 1e3 * loop_s / n_loop,
        "grid_ms": 1e3 * grid_s / n_ours,
        "exact_ms": 1e3 * exact_s / n_ours,
        "largest_difference": float(np.abs(theirs - ours[:n_loop]).max()),
        "exact_at_least_grid": bool((exact >= ours - 1e-6).all()),
        "median_epsilon_grid": float(np.median(ours)),
        "median_epsilon_exact": float(np.median(exact)),
    }


def forgetting(n_records: int = 1000, n_shuffles: int = 40) -> list[dict[str, Any]]:
    """K05: F of two equal pools by grid and by exact sweeps, its shuffled null, and their ratio."""
    found = []
    for (n_models, sd), printed in PRINTED_F.items():
        g = np.random.default_rng([n_models, round(10 * sd)])
        sides = Sides.of(sd * g.normal(size=(n_models, n_records)), sd * g.normal(size=(n_models, n_records)))
        points = quality.quality(grid_epsilons(sides.arm, sides.reference)[:, None], n_models)
        f = float(quality.quality(quality.epsilons(sides.arm, sides.reference), n_models))
        few = Sides.of(sides.arm[:, : n_records // 10], sides.reference[:, : n_records // 10])
        null = float(quality.quality(quality.shuffled_epsilons(few, g, n_shuffles), n_models).mean())
        scatter = float(points.std(ddof=1) / np.sqrt(n_records))
        row = {"n_models": n_models, "sd": sd, "printed": printed, "n_records": n_records}
        row |= {"f_grid": float(points.mean()), "f_grid_se": scatter, "f": f, "f_null": null, "ratio": f / null}
        found.append(row)
    return found


def margins(n_records: int = 1000, n_shuffles: int = 100) -> dict[str, Any]:
    """K06: KLoM against the formula record by record, its null as published, and the null that is left after ours."""
    g = np.random.default_rng(0)
    a, r = 2 * g.normal(size=(100, n_records)) + 0.5, g.standard_t(3, size=(100, n_records))
    theirs, loop_s = timed(lambda: np.array([loop_klom(a[:, i], r[:, i]) for i in range(n_records)]))
    ours, ours_s = timed(lambda: klom.legacy(a, r), 3)
    nulls = [
        {"n_models": n, "printed": printed, "legacy": float(klom.legacy(*g.normal(size=(2, n, n_records))).mean())}
        for n, printed in PRINTED_KLOM.items()
    ]
    rest = []
    for name, draw in DRAWS.items():
        sides = Sides.of(draw(g, (100, n_records)), draw(g, (100, n_records)))
        value, draws = klom.histogram_draws(sides, g, n_shuffles)
        shifted = Sides.of(sides.arm + sides.reference.std(), sides.reference)
        moved, null = klom.histogram_draws(shifted, g, n_shuffles)
        row = {"draw": name, "legacy": float(klom.legacy(sides.arm, sides.reference).mean())}
        excess, found = float(value.mean() - draws.mean()), float(moved.mean() - null.mean())
        rest.append(row | {"calibrated": excess, "one_sd_legacy": float(moved.mean()), "one_sd": found})
    same = {"equal": int((theirs == ours).sum()), "of": n_records}
    return {**same, "loop_ms": 1e3 * loop_s, "ours_ms": 1e3 * ours_s, "nulls": nulls, "calibrated": rest}


def pools_of(n_models: int, n_records: int, same: bool, n_classes: int = 10) -> Pools:
    """Return three worlds with a known truth; what was learnt stands 2 higher, half of it is left after.

    Args:
        n_models: in each world.
        n_records: a fifth of them in no model's draw.
        same: all models forget the same tenth of the records and keep the rest; else half of the records are members of
            a model, and a fifth of these forgotten, each model with a draw of its own.
        n_classes: of the logits.
    """
    g = np.random.default_rng(0)
    member, gone = g.random((n_models, n_records)) < 0.5, g.random((n_models, n_records)) < 0.2
    roles = np.where(member & gone, FORGOTTEN, np.where(member, KEPT, NEVER)).astype(np.uint8)
    if same:
        roles[:] = np.where(np.arange(n_records) < n_records * 3 // 10, FORGOTTEN, KEPT)
    roles[:, : n_records // 5] = POPULATION
    truth, hard = g.integers(0, n_classes, n_records), g.normal(size=(n_records, n_classes))
    hard[np.arange(n_records), truth] += 1.0

    def pool(world: Any, left: float) -> Pool:
        z = hard + g.normal(size=(n_models, n_records, n_classes))
        z[:, np.arange(n_records), truth] += np.select([roles == KEPT, roles == FORGOTTEN], [2.0, left], 0.0)
        return Pool(world, roles, truth, np.arange(n_models), logits=z.astype(np.float32))

    worlds = pool("before", 2.0), pool("after", 1.0), pool("reference", 0.0)
    untrained = Pool("other", roles[:3], truth, np.arange(3), logits=0.05 * g.normal(size=(3, n_records, n_classes)))
    return Pools(tuple(map(str, range(n_records))), truth, n_classes, worlds, controls={"random init": untrained})


def battery(n_models: int = 128, n_records: int = 1500) -> dict[str, Any]:
    """Return the CPU seconds of each measure on the same pools, in the order of the battery, for two designs."""
    policy, rows = AuditPolicy(), [{"measure": name} for name in ALL]
    for design, same in (("own", False), ("same", True)):
        pools = pools_of(n_models, n_records, same)
        for row in rows:
            evidence, seconds = timed(partial(run, pools, policy, (row["measure"],)))
            row[design] = {
                "seconds": seconds,
                "measured": sum(e.status == "measured" for e in evidence),
                "of": len(evidence),
            }
            print(f"audit: {row['measure']}, {design}: {row[design]}", flush=True)
    seconds = {design: sum(row[design]["seconds"] for row in rows) for design in ("own", "same")}
    return {"n_models": n_models, "n_records": n_records, "measures": rows, "seconds": seconds}


def main() -> None:
    """Run all of it, write results/audit.json, and make the page."""
    report = {
        "suite": "audit",
        "python": platform.python_version(),
        "machine": platform.machine(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "scorer": scorer(),
        "forgetting": forgetting(),
        "margins": margins(),
        "battery": battery(),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(report, indent=1) + "\n")
    audit_page.main()


if __name__ == "__main__":
    main()
