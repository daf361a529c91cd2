"""A sample report from a small world, for tests and for looking at (python sample.py FOLDER)."""

from worlds import TableLearner, case_of, records

from expunge.audit.cost import CostProbe
from expunge.audit.curves import Curves
from expunge.audit.likeness import Likeness
from expunge.audit.membership import Membership
from expunge.audit.report import Asked, Digests, Done, Option, ReceiptSummary, Report, Trained
from expunge.audit.utility import Utility
from expunge.core.deployment import Prediction
from expunge.core.guarantee import Guarantee
from expunge.core.ruling import Ruling

EXACT = Guarantee(
    kind="exact",
    grade="bits",
    assumptions=("The draws of the model are keyed by record, so that they do not depend on who else is in the data.",),
    covers=("model", "shadow caches"),
)


def sample(kind="nearest", guarantee=EXACT, n_holdout=1200, n_forgotten=30, **changes):
    data, holdout = records(900, 1, per_owner=3), records(n_holdout, 2, first=10_000, per_owner=2)
    unlearnt = "retrain" if guarantee.kind == "exact" else "nothing"
    case = case_of(
        TableLearner(kind), data, holdout, list(range(n_forgotten)), unlearnt=unlearnt, n_shadows=16, reference=True
    )
    curves = []
    probes = (Utility(), Likeness(), Membership(n_jobs=1, on_curves=curves.append), CostProbe())
    evidence = [e for probe in probes for e in probe.measure(case)]
    evidence = [e.judged(1.0, "equal") if e.name == "likeness.equal@after" else e for e in evidence]
    fields = {
        "asked": Asked(ref="C-7F3A", requested_at="2026-11-20"),
        "trained": Trained(
            dataset="Sample world",
            target="readmitted",
            learner=repr(case.before.learner),
            n_records=len(data),
            n_forgotten=n_forgotten,
            n_holdout=len(holdout),
        ),
        "rulings": (Ruling(screen="quota", verdict="accept", reasons=("Below the share that needs a human.",)),),
        "done": Done(
            method="ForestUnlearner()",
            why="The cheapest method that gives the guarantee asked for.",
            options=(
                Option(method="ForestUnlearner()", usable=True, seconds=0.004, why="exact, touches 3 of 10 parts"),
                Option(method="Retrain()", usable=True, seconds=2.1, why="exact, always last"),
            ),
            prediction=Prediction(seconds=0.0041, why="3 of 10 parts are rebuilt."),
            cost=case.cost,
            reference_s=case.reference_s,
        ),
        "guarantee": guarantee,
        "evidence": tuple(evidence),
        "curves": curves[0] if curves else Curves(),
        "digests": Digests(
            before=case.before.model.digest(),
            after=case.after.model.digest(),
            reference=case.reference.model.digest(),
        ),
        "receipt": ReceiptSummary(ref="R-19", log_origin="clinic.example/log", log_index=18, log_size=19),
        "policy_digest": "ab" * 32,
        "seeds": (case.seed,),
        "not_covered": ("Backups of the training data",),
        "software": ("expunge 0.1.0",),
    }
    return Report(**{**fields, **changes})


if __name__ == "__main__":
    import sys
    from pathlib import Path

    from expunge.audit.report import render_html, render_markdown, report_json

    folder = Path(sys.argv[1])
    folder.mkdir(exist_ok=True)
    made = sample()
    (folder / "report.html").write_text(render_html(made))
    (folder / "report.md").write_text(render_markdown(made))
    (folder / "report.json").write_bytes(report_json(made))
