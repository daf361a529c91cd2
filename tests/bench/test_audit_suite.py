"""The audit's suite tells the truth: its loops are the published rules, its page is made from the committed results."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

from benchmarks import audit, audit_page  # noqa: E402

from expunge.audit.battery import klom  # noqa: E402
from expunge.audit.battery.grid import grid_epsilons  # noqa: E402


def test_the_page_is_made_from_the_results():
    made = "\n".join(audit_page.lines(json.loads(audit_page.RESULTS.read_text()))) + "\n"
    assert audit_page.PAGE.read_text() == made, "run `python -m benchmarks.audit_page`"


def test_loop_and_grid_are_one_rule():
    """K05: |Δε| of 10⁻⁶ at most, on a record of few models."""
    a, r = np.random.default_rng(1).normal(size=(2, 12, 1)) * 0.2
    assert grid_epsilons(a, r)[0] == pytest.approx(audit.loop_epsilon(a[:, 0], r[:, 0]), abs=1e-6)


def test_loop_and_histograms_are_one_rule():
    """K06: bit for bit."""
    a, r = np.random.default_rng(2).normal(size=(2, 30, 40)) * 60
    assert klom.legacy(a, r).tolist() == [audit.loop_klom(a[:, i], r[:, i]) for i in range(40)]


def test_committed_figures_hold_the_bars():
    """K05 and K06, as measured and committed; the page says where a bar is missed."""
    report = json.loads(audit_page.RESULTS.read_text())
    scorer = report["scorer"]
    assert scorer["loop_ms"] > 100 * scorer["grid_ms"]
    assert scorer["largest_difference"] <= 1e-6
    assert all(abs(row["ratio"] - 1) < 0.1 for row in report["forgetting"])
    assert report["margins"]["equal"] == report["margins"]["of"]
    assert all(abs(row["calibrated"]) <= 0.03 for row in report["margins"]["calibrated"])
    assert {row["measure"] for row in report["battery"]["measures"]} <= set(audit.ALL)


@pytest.mark.parametrize("same", [False, True])
def test_pools_have_a_known_truth(same):
    pools = audit.pools_of(24, 50, same)
    before, after, reference = (pools.need(w) for w in ("before", "after", "reference"))
    forgotten = before.roles == audit.FORGOTTEN
    levels = [float(p.phi[forgotten].mean()) for p in (before, after, reference)]
    assert levels[0] > levels[1] > levels[2]
    assert (forgotten == forgotten[0]).all() == same
    assert (before.roles[:, :10] == audit.POPULATION).all()
