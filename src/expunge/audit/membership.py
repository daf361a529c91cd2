"""``Membership``: can an attacker tell that the forgotten records were in the training data? Loss attack and LiRA."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from expunge.audit import arms, scored, shadows
from expunge.audit.battery.normals import RECORD_VARIANCE_FROM, Sums, Variance, log_ratio
from expunge.audit.clustered import Mask
from expunge.audit.curves import SMALLEST, Curves, Histogram, Roc, histograms, roc_of
from expunge.audit.scored import Scored
from expunge.audit.signals import Seen, seen
from expunge.core.deployment import Case
from expunge.core.errors import BadInput, Unsupported
from expunge.core.evidence import Evidence
from expunge.core.roles import Floats, Progress

FEWEST_SHADOWS = 8


@dataclass(frozen=True)
class Observation:
    """What the attacks saw of a case. Per-record scores stay in here: they are a membership oracle.

    Attributes:
        attacks: the attacks that could be run.
        losses: arm → losses of forgotten and holdout records.
        positive: which of these are forgotten.
        missing: the attacks that could not be run, and why.
    """

    attacks: tuple[Scored, ...]
    losses: Mapping[str, Floats]
    positive: Mask
    missing: tuple[Evidence, ...] = ()

    def evidence(self) -> tuple[Evidence, ...]:
        """Return the measurements."""
        return (*(e for attack in self.attacks for e in scored.evidence(attack)), *self.missing)

    def curves(self, smallest: int = SMALLEST) -> Curves:
        """Return what may be drawn.

        Args:
            smallest: no group and no bin below this many records (public form: 10; 1 = the auditor's own form).
        """
        notes: list[str] = []
        rocs: list[Roc] = []
        m = int(self.positive.sum())
        if m >= smallest:
            rocs = [roc_of(a.attack, arm, s, a.positive) for a in self.attacks for arm, s in a.scores.items()]
        elif self.attacks:
            notes.append(
                f"Curves and distributions of fewer than {smallest} forgotten records are not shown: "
                "single records could be read off them. The measurements above rest on them all the same."
            )
        drawn: list[Histogram] = histograms(self.losses, self.positive, smallest) if self.losses else []
        return Curves(rocs=tuple(rocs), losses=tuple(drawn), notes=tuple(notes))


@dataclass(frozen=True)
class Membership:
    """Membership inference on the forgotten records, before, after, and on the retrained reference (the control).

    * ``loss_*``: population attack, score = −loss, forgotten against all holdout records.
    * ``lira_*``: likelihood ratio of two normals fitted to the signals of shadow models that held the record, and of
      those that did not, at the signal of the model under attack. `Case.n_shadows` says how many models; 0 = no LiRA.

    The good value is the *reference's*, not ½: forgotten and holdout records may differ in more than membership.
    ``…_excess@after`` is after − reference on the same records; ``…_excess@before`` is before − reference: what there
    was to find in the first place. Where that is not above zero, the attack had nothing to detect, and says little.

    Attributes:
        n_pool: holdout records that LiRA scores (whole owners).
        n_jobs: processes for the shadows, as joblib counts them.
        cache: folder for finished shadows; see `shadows.purge`.
        progress: called after each shadow.
        on_curves: receives what the report draws.

    Guarantee: none; an empirical measurement of these attacks. Other attacks may find more. The intervals cover which
        records and owners were drawn, not the training randomness of the models.
    Cost: one prediction an arm; LiRA fits `Case.n_shadows` models on half of the owners.
    Source: M07 (Yeom et al. 2018), M11/M12 (Carlini et al. 2022; Hayes et al. 2024) with variances pooled over records
        below 64 shadows; intervals: DeLong over owners. We differ from U-LiRA in that shadows are
        trained, not unlearned: for exact unlearning that is the same world.
    """

    n_pool: int = 2000
    n_jobs: int = field(default=-1, repr=False, compare=False)
    cache: Path | None = field(default=None, repr=False, compare=False)
    progress: Progress | None = field(default=None, repr=False, compare=False)
    on_curves: Callable[[Curves], None] | None = field(default=None, repr=False, compare=False)

    def drawing(self, to: Callable[[Curves], None]) -> Membership:
        """Return the probe that gives its curves to `to` whenever it measures."""
        return replace(self, on_curves=to)

    def measure(self, case: Case) -> Sequence[Evidence]:
        """Return the measurements; hand the curves to `on_curves`."""
        observed = self.observe(case)
        if self.on_curves is not None:
            self.on_curves(observed.curves())
        return observed.evidence()

    def observe(self, case: Case) -> Observation:
        """Run both attacks and return what they saw.

        Raises:
            Interrupted: Ctrl-C; finished shadows are in the cache.
        """
        attacks: list[Scored] = []
        missing: list[Evidence] = []
        losses: Mapping[str, Floats] = {}
        positive = np.zeros(0, bool)
        for name, attack in (("loss", _loss_attack), ("lira", self._lira)):
            try:
                _check_groups(case)
                attacks.append(attack(case))
            except (BadInput, Unsupported) as error:
                missing += scored.missing(name, error.message)
        if attacks and attacks[0].attack == "loss":
            losses = {arm: -scores for arm, scores in attacks[0].scores.items()}
            positive = attacks[0].positive
        return Observation(tuple(attacks), losses, positive, tuple(missing))

    def _lira(self, case: Case) -> Scored:
        n = case.n_shadows
        if n < FEWEST_SHADOWS:
            raise BadInput(f"LiRA needs {FEWEST_SHADOWS} shadow models or more, and {n} are asked for")
        drawn = shadows.draw(case, n, self.n_pool)
        matrix = shadows.signals_of(drawn, n_jobs=self.n_jobs, cache=self.cache, progress=self.progress)
        targets = {arm: Seen(deployment, drawn.records).phi for arm, deployment in arms.each(case)}
        return Scored(
            attack="lira",
            estimator=f"LiRA with {n} shadow models on random halves of the owners, "
            + ("pooled" if n < RECORD_VARIANCE_FROM else "per-record")
            + " variance",
            scores={arm: likelihood_ratio(phi, matrix, drawn.inside) for arm, phi in targets.items()},
            positive=np.arange(len(drawn.audited)) < drawn.n_forgotten,
            owners=drawn.records.subjects,
            equal=arms.equal_to_reference(case),
            n_models=n,
            seeds=(case.seed,),
        )


def curves(case: Case, probe: Membership | None = None, smallest: int = SMALLEST) -> Curves:
    """Return what the report draws about membership; runs the attacks (use `Membership.on_curves` to run them once)."""
    return (probe or Membership()).observe(case).curves(smallest)


def likelihood_ratio(phi: Floats, matrix: Floats, inside: Mask) -> Floats:
    """Return Λ = log N(φ; μ_in, σ_in) − log N(φ; μ_out, σ_out) of each record, shape (n,).

    Args:
        phi: the signals of the model under attack, shape (n,).
        matrix: the shadows' signals, shape (n_shadows, n).
        inside: which shadow held which record, same shape; two or more on each side of every record.

    Source: Carlini et al. (2022), eq. 2; variances pooled over all records below 64 shadows, per record from there on,
        never below (5 % of the signals' spread)².
    """
    floor = 0.05 * float(matrix.std())
    variance: Variance = "pooled" if len(matrix) < RECORD_VARIANCE_FROM else "record"
    held, not_held = (Sums.of(matrix, world).fit(variance=variance, floor=floor) for world in (inside, ~inside))
    return log_ratio(phi, held, not_held)


def _check_groups(case: Case) -> None:
    m, n = len(case.forgotten), len(case.holdout)
    if min(m, n) < 2:
        raise BadInput(f"an attack with an interval needs two records on each side, not {m} forgotten and {n} holdout")


def _loss_attack(case: Case) -> Scored:
    m, n = len(case.forgotten), len(case.holdout)
    scores = {
        arm: -np.concatenate([seen(case, d, data).losses for data in (case.forgotten, case.holdout)])
        for arm, d in arms.each(case)
    }
    return Scored(
        attack="loss",
        estimator="loss attack: AUC of −loss, forgotten against holdout",
        scores=scores,
        positive=np.arange(m + n) < m,
        owners=np.concatenate([case.forgotten.subjects, case.holdout.subjects]),
        equal=arms.equal_to_reference(case),
    )
