"""``CostProbe``: what unlearning took, beside what retraining takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from expunge.core.deployment import Case
from expunge.core.evidence import Evidence

ONCE = "One timing on one machine: no interval is claimed."


def _fact(name: str, estimator: str, value: float, unit: str, note: str | None = None) -> Evidence:
    return Evidence(name=name, estimator=estimator, value=value, low=value, high=value, n=1, unit=unit, note=note)


@dataclass(frozen=True)
class CostProbe:
    """Seconds of unlearning and of retraining, their ratio, and the parts and records touched.

    Guarantee: none; these are facts of one run.
    Cost: reads what was timed; trains nothing.
    Source: spec M03 (RTE = t_retrain / t_unlearn).
    """

    def measure(self, case: Case) -> Sequence[Evidence]:
        """Return the timings; the only evidence without an interval, and it says so."""
        return [*self._times(case), *self._touched(case)]

    def _times(self, case: Case) -> list[Evidence]:
        against = "retraining without the records"
        full_s = case.reference_s
        if full_s is None:
            full_s, against = case.before.fit_s, "the last full fit (no reference was trained)"
        found: list[Evidence] = []
        if case.cost is None:
            found.append(Evidence.missing("cost.seconds@after", "unlearning was not timed"))
        else:
            found.append(_fact("cost.seconds@after", "wall clock of unlearning", case.cost.seconds, "timing", ONCE))
        if full_s is None:
            found.append(Evidence.missing("cost.seconds@reference", "retraining was not timed"))
        else:
            found.append(_fact("cost.seconds@reference", f"wall clock of {against}", full_s, "timing", ONCE))
        if case.cost is None or full_s is None or case.cost.seconds <= 0:
            found.append(Evidence.missing("cost.ratio@after", "it needs both timings"))
        else:
            ratio = full_s / case.cost.seconds
            found.append(
                _fact("cost.ratio@after", f"seconds of {against} / seconds of unlearning", ratio, "pair", ONCE)
            )
        return found

    def _touched(self, case: Case) -> list[Evidence]:
        cost = case.cost
        parts = None if cost is None else cost.parts_touched
        records = None if cost is None else cost.records_read
        return [
            Evidence.missing(name, "the unlearner did not count it")
            if count is None
            else _fact(name, "counted by the unlearner", count, "run")
            for name, count in (("cost.parts_touched@after", parts), ("cost.records_read@after", records))
        ]
