"""Physical floors under a deletion: what the machine cannot do faster, whatever the algorithm (spec section 11)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.exact import steps

RESULTS = Path(__file__).parents[1] / "results" / "floors.json"
D = 512
LEVELS = 13
TREES = 10
HISTOGRAM_BYTES = 130e6
"""Statistics and rows that a tenth of 100,000 rows touch in ten trees each (spec section 11)."""


def chained(n: int = 1 << 22, hops: int = 1 << 18) -> float:
    """Return the seconds of one read that has to wait for the one before it: a level of a tree that is not cached."""
    import numba

    order = np.random.default_rng(0).permutation(n)
    following = np.empty(n, np.int64)
    following[order] = np.roll(order, -1)

    @numba.njit
    def follow(following, at, hops):
        for _ in range(hops):
            at = following[at]
        return at

    follow(following, 0, 10)
    spent = []
    for start in range(3):
        cpu, _, _ = steps.clocked(lambda start=start: follow(following, start, hops))
        spent.append(cpu / hops)
    return min(spent)


def rank_one(d: int = D) -> float:
    """Return the seconds of a rank-1 correction of a d × d inverse: two products of a matrix and a vector."""
    A, x, times = np.eye(d), np.ones(d), 200
    cpu, _, _ = steps.clocked(lambda: [A @ x for _ in range(times)])
    return 2 * cpu / times


def measure() -> dict[str, Any]:
    """Return the floors, in seconds, with what each is made of."""
    from expunge.core import machine

    found = machine.measure()
    hop = chained()
    return {
        "level_s": hop,
        "bytes_per_s": found.bytes_per_s,
        "flops": found.flops,
        "fsync_s": found.fsync_s,
        "floors": {
            "forest, one row, ten trees": TREES * LEVELS * hop,
            "forest, a tenth of 100,000 rows": HISTOGRAM_BYTES / found.bytes_per_s,
            "ridge, d = 512, one row": rank_one(),
            "a certificate that reads two gigabytes": 2e9 / found.bytes_per_s,
            "durable record of one deletion": found.fsync_s,
        },
    }


def main() -> None:
    RESULTS.write_text(json.dumps(measure(), indent=1) + "\n")
    print(f"wrote {RESULTS.name}")


if __name__ == "__main__":
    main()
