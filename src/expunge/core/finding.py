"""``Finding``: what the evidence says about one question of an audit, and how many models would settle it (spec 10)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Final, Literal, NamedTuple

from expunge.core.evidence import Evidence
from expunge.core.policy import AuditPolicy, Concern, Question
from expunge.core.record import Record

Status = Literal["clean", "residue", "overshoot", "inconclusive", "not_measured"]

SEVERITY: Final[tuple[Status, ...]] = ("residue", "overshoot", "inconclusive", "clean", "not_measured")
"""Of a question and its worst class the earlier status counts."""
INSIDE: Final = "detectable, inside the margin"
ABSENT: Final = "no measurement of this name was handed in"
ONE_OF_A_KIND: Final = "it rests on one model of a kind, so nothing is decided: train shadows (spec V6)"
FEWEST_MODELS: Final = 2
MOST: Final = 10**9
"""Above this the number of models that would decide says no more than that none will."""

_NORMAL: Final = NormalDist()
_Z95: Final = _NORMAL.inv_cdf(0.975)


class Worst(Record):
    """The worst class of a question, in the harmful direction, held to twice the question's margin.

    Attributes:
        evidence: name of the evidence.
        status: by the same rules.
        value: excess over retraining.
        low: lower end of its interval.
        high: upper end.
    """

    evidence: str
    status: Status
    value: float
    low: float
    high: float


class Finding(Record):
    """The answer to one question.

    Attributes:
        question: its name.
        concern: ``memory`` or ``utility``.
        evidence: name of the evidence that answers.
        status: the answer: the worse of the question's own and its worst class's.
        value: how far from retraining in the *harmful* direction; None where it was not measured.
        low: lower end of its interval (95 %, or 1 − α where α is smaller).
        high: upper end.
        margin: Δ.
        worst: of the classes, where the question asks for it.
        p_value: one-sided, in the harmful direction.
        p_adjusted: by Holm, over all primaries.
        n: observations behind the value.
        unit: what they are.
        n_models: models behind the value.
        power: the smallest excess that would have been found with 80 % power.
        n_decides: how many observations (`n_unit`) would decide with the policy's power, if the true excess is the
            one seen; None where it is decided, or where no number would.
        n_unit: what `n_decides` counts.
        notes: what must be said beside.
    """

    question: str
    concern: Concern
    evidence: str
    status: Status
    value: float | None = None
    low: float | None = None
    high: float | None = None
    margin: float
    worst: Worst | None = None
    p_value: float | None = None
    p_adjusted: float | None = None
    n: int = 0
    unit: str = "records"
    n_models: int | None = None
    power: float | None = None
    n_decides: int | None = None
    n_unit: str = "models"
    notes: tuple[str, ...] = ()


class Harm(NamedTuple):
    """An excess in the harmful direction, with its interval and standard error."""

    value: float
    low: float
    high: float
    se: float
    p_value: float


class Answer(NamedTuple):
    """The evidence on one question, and on its worst class, as it came and turned so that larger is worse."""

    question: Question
    evidence: Evidence
    harm: Harm | None
    worst: Evidence | None
    worst_harm: Harm | None

    @property
    def p_value(self) -> float:
        """The p-value of the question: of two tests the smaller, doubled; 1 where nothing was measured."""
        found = [h.p_value for h in (self.harm, self.worst_harm) if h is not None]
        return min(1.0, len(found) * min(found)) if found else 1.0


def findings_of(
    evidence: Sequence[Evidence], policy: AuditPolicy, arm: str = "after"
) -> tuple[tuple[Finding, ...], tuple[Finding, ...]]:
    """Return the findings of the primaries, and of the watched questions.

    A question without evidence is not measured. Holm counts every registered primary, measured or not.

    Args:
        evidence: measurements; of two of a name the first counts.
        policy: the questions.
        arm: which arm is judged: ``after``, or ``before`` for the positive control.
    """
    named: dict[str, Evidence] = {}
    for e in evidence:
        named.setdefault(e.name, e)
    answers = [_answer(named, q, arm, policy.alpha_each) for q in (*policy.questions, *policy.watches)]
    n = len(policy.questions)
    p_values = [*holm([a.p_value for a in answers[:n]]), *(a.p_value for a in answers[n:])]
    found = tuple(_finding(answer, p, policy) for answer, p in zip(answers, p_values, strict=True))
    return found[:n], found[n:]


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Return Holm's adjusted p-values: step by step, the smallest times how many are left, never falling.

    >>> holm([0.01, 0.04, 0.03])
    (0.03, 0.06, 0.06)
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, floor = [0.0] * len(p_values), 0.0
    for place, i in enumerate(order):
        floor = max(floor, min(1.0, (len(order) - place) * p_values[i]))
        adjusted[i] = floor
    return tuple(adjusted)


def status_of(low: float, high: float, question: Question, significant: bool) -> Status:
    """Return the status of an excess in the harmful direction, by the table of spec section 10.

    Args:
        low: lower end of the interval.
        high: upper end.
        question: margin, and whether it has two sides.
        significant: whether an excess above zero passes Holm.
    """
    margin = question.margin
    if question.both and high < -margin:
        return "overshoot"
    if high < margin and not (question.both and low <= -margin):
        return "clean"
    if low > 0 and significant and high >= margin:
        return "residue"
    return "inconclusive"


def _answer(named: Mapping[str, Evidence], question: Question, arm: str, alpha: float) -> Answer:
    asked = [question.evidence, *([question.worst] if question.worst else [])]
    names = [f"{name.partition('@')[0]}@{arm}" for name in asked]
    found = [named.get(name) or Evidence.missing(name, ABSENT) for name in names]
    harms = [_harm(e, question, alpha) if e.status == "measured" else None for e in found]
    second = (found[1], harms[1]) if question.worst else (None, None)
    return Answer(question, found[0], harms[0], *second)


def _harm(e: Evidence, question: Question, alpha: float) -> Harm:
    """Turn an excess so that larger is worse; an α below 5 % widens its interval, a larger one never narrows it."""
    sign = 1.0 if question.harmful == "higher" else -1.0
    value, ends = sign * e.value, sorted((sign * e.low, sign * e.high))
    stretch = max(1.0, _NORMAL.inv_cdf(1 - alpha / 2) / _Z95)
    low, high = (value + (end - value) * stretch for end in ends)
    p = e.p_value if e.p_value is not None else _p_value(value, (value - ends[0]) / _Z95)
    return Harm(value + 0.0, low + 0.0, high + 0.0, (ends[1] - ends[0]) / (2 * _Z95), p)


def _p_value(value: float, se: float) -> float:
    """Return the one-sided p-value that an interval implies where no test was made."""
    if se <= 0:
        return 0.0 if value > 0 else 1.0
    return 1 - _NORMAL.cdf(min(value / se, 37.0))


def _finding(answer: Answer, p: float, policy: AuditPolicy) -> Finding:
    question, e, harm = answer.question, answer.evidence, answer.harm
    about = {"question": question.name, "concern": question.concern, "evidence": e.name, "margin": question.margin}
    if harm is None:
        return Finding(**about, status="not_measured", notes=(e.note or ABSENT,))
    status, notes, worst = _judged(answer, harm, p <= policy.alpha_each)
    return Finding(
        **about,
        status=status,
        value=harm.value,
        low=harm.low,
        high=harm.high,
        worst=worst,
        p_value=harm.p_value,
        p_adjusted=p,
        n=e.n,
        unit=e.unit,
        n_models=e.n_models,
        power=e.power,
        n_decides=_needed(answer, policy) if status == "inconclusive" else None,
        n_unit="models" if e.n_models else e.unit,
        notes=notes,
    )


def _judged(answer: Answer, harm: Harm, significant: bool) -> tuple[Status, tuple[str, ...], Worst | None]:
    """Return the worse status of a question and its worst class, what must be said, and the worst class."""
    question, far = answer.question, answer.worst_harm
    status = status_of(harm.low, harm.high, question, significant)
    notes, worst = (INSIDE,) if status == "clean" and harm.low > 0 else (), None
    if answer.worst is not None and far is not None:
        held = status_of(far.low, far.high, _doubled(question), significant)
        worst = Worst(evidence=answer.worst.name, status=held, value=far.value, low=far.low, high=far.high)
        status = min(status, held, key=SEVERITY.index)
    elif answer.worst is not None and status == "clean":
        status, notes = "inconclusive", (f"the worst class was not measured: {answer.worst.note or ABSENT}",)
    if question.shadows and (answer.evidence.n_models or 0) < FEWEST_MODELS and status != "inconclusive":
        return "inconclusive", (ONE_OF_A_KIND,), worst
    return status, notes if status in ("clean", "inconclusive") else (), worst


def _doubled(question: Question) -> Question:
    return question.model_copy(update={"margin": 2 * question.margin})


def _needed(answer: Answer, policy: AuditPolicy) -> int | None:
    """Return the n that decides the question and its worst class; the larger of the two."""
    parts = [
        (answer.harm, answer.evidence, answer.question),
        (answer.worst_harm, answer.worst, _doubled(answer.question)),
    ]
    needed = [
        _decides(harm, question, e.n_models or e.n, policy)
        for harm, e, question in parts
        if harm is not None and e is not None and status_of(harm.low, harm.high, question, False) == "inconclusive"
    ]
    return None if None in needed or not needed else max(n for n in needed if n is not None)


def _decides(harm: Harm, question: Question, n: int, policy: AuditPolicy) -> int | None:
    """Return the n that decides with the policy's power, if the true excess is the one seen (none below zero).

    The standard error must fall to the larger of two: what shows the excess to be inside the margin, and what shows
    it to be above zero after the strictest step of Holm; n grows with the square.
    """
    true, margin = max(harm.value, 0.0) if not question.both else abs(harm.value), question.margin
    alpha, n_tests = policy.alpha_each, max(1, len(policy.questions))
    for_power = _NORMAL.inv_cdf((1 + policy.power) / 2 if question.both else policy.power)
    inside = (margin - true) / (max(_Z95, _NORMAL.inv_cdf(1 - alpha / 2)) + for_power)
    above = true / (max(_Z95, _NORMAL.inv_cdf(1 - alpha / n_tests)) + _NORMAL.inv_cdf(policy.power))
    if true + _Z95 * above < margin:
        above = 0.0  # then it would lie inside the margin before it counts as residue
    needed = max(inside, above)
    if harm.se <= 0 or needed <= 0 or n == 0:
        return None
    factor = (harm.se / needed) ** 2
    return None if n * factor > MOST else max(math.ceil(n * factor), n + 1)
