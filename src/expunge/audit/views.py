"""``Views``: what an audit's figures are drawn from; only `Exposed` looks at single records."""

from __future__ import annotations

from typing import Final, Literal

from expunge.audit.curves import SMALLEST
from expunge.core.record import Record

FIVE: Final = (0.05, 0.25, 0.5, 0.75, 0.95)
"""The quantiles over models that are shown of a single record."""

Topic = Literal["relearning", "layers"]


class RocBand(Record):
    """The ROC curve of one attack on one arm, over the scores of all models.

    Attributes:
        attack: its name.
        arm: before, after or reference.
        fpr: false positive rates, rising.
        tpr: true positive rates.
        low: lower ends of the 95 % jackknife intervals over blocks of models.
        high: upper ends.
        n_inside: scores of forgotten records.
        n_outside: scores of other records: a rate means something from a few of them on.
        n_records: distinct forgotten records.
        n_models: models.
    """

    attack: str
    arm: str
    fpr: tuple[float, ...]
    tpr: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    n_inside: int
    n_outside: int
    n_records: int
    n_models: int


class Spread(Record):
    """One measure of each model of the pools: the retrained ones are the null that the others are held against.

    Attributes:
        measure: what is measured.
        before: of each original model.
        after: of each unlearned model.
        reference: of each retrained model.
    """

    measure: str
    before: tuple[float, ...] = ()
    after: tuple[float, ...] = ()
    reference: tuple[float, ...] = ()


class Exposed(Record):
    """φ of one forgotten record over models, as quantiles (5, 25, 50, 75, 95 %). Never in a public report.

    Attributes:
        record: its id.
        distance: difference of the means, forgotten less retrained, in standard deviations.
        was: in models that forgot it.
        never: in models that never saw it; empty where there are none.
        retrained: in models retrained without it.
    """

    record: str
    distance: float
    was: tuple[float, ...]
    never: tuple[float, ...] = ()
    retrained: tuple[float, ...]


class Line(Record):
    """A curve with its interval: recovery against records learnt again, likeness of layers, …

    Attributes:
        topic: what is drawn.
        arm: before, after or reference.
        x: where it was measured (numbers, or the places of `labels`).
        y: the values.
        low: lower ends of the intervals; empty where there are none.
        high: upper ends.
        labels: names of the places on the x axis; empty = numbers.
    """

    topic: Topic
    arm: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    labels: tuple[str, ...] = ()


class Share(Record):
    """Accuracy of one group of records that no model learnt, on one arm.

    Attributes:
        group: a class or a named group.
        arm: before, after or reference.
        value: mean over models.
        low: lower end of its 95 % interval.
        high: upper end.
        n: distinct records.
        n_models: models.
    """

    group: str
    arm: str
    value: float
    low: float
    high: float
    n: int
    n_models: int


class Matrix(Record):
    """What a pool predicts for records that no model learnt.

    Attributes:
        arm: before, after or reference.
        labels: the classes.
        rows: share predicted as each class (column) of the records of each class (row); an empty row is withheld.
        n: distinct records of each class.
    """

    arm: str
    labels: tuple[str, ...]
    rows: tuple[tuple[float, ...], ...]
    n: tuple[int, ...]


class Views(Record):
    """Everything that is drawn, and what was left out."""

    rocs: tuple[RocBand, ...] = ()
    spreads: tuple[Spread, ...] = ()
    exposed: tuple[Exposed, ...] = ()
    lines: tuple[Line, ...] = ()
    shares: tuple[Share, ...] = ()
    matrices: tuple[Matrix, ...] = ()
    notes: tuple[str, ...] = ()

    def public(self) -> Views:
        """Return the form without single records, and without groups of fewer than ten."""
        matrices = tuple(
            m.model_copy(
                update={
                    "rows": tuple(row if n >= SMALLEST else () for row, n in zip(m.rows, m.n, strict=True)),
                    "n": tuple(n if n >= SMALLEST else 0 for n in m.n),
                }
            )
            for m in self.matrices
        )
        rocs = tuple(r for r in self.rocs if r.n_records >= SMALLEST)
        shares = tuple(s for s in self.shares if s.n >= SMALLEST)
        return self.model_copy(update={"exposed": (), "rocs": rocs, "matrices": matrices, "shares": shares})
