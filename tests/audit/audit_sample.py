"""Sample audits on simulated pools of models, for tests and for looking at (python audit_sample.py FOLDER)."""

import numpy as np

from expunge.audit.battery.run import run, run_controls
from expunge.audit.findings import Audited, Spent, report_of
from expunge.audit.pools import FORGOTTEN, KEPT, NEVER, POPULATION, Pool, Pools
from expunge.audit.viewing import views_of
from expunge.core.evidence import Evidence, Null
from expunge.core.guarantee import Guarantee
from expunge.core.policy import AuditPolicy

POLICY = AuditPolicy()
K = 4


def roles_of(n_models, n, n_population, rng):
    """Members half of the records, a fifth of them forgotten, and a population in no draw."""
    member = rng.random((n_models, n)) < 0.5
    forgotten = member & (rng.random((n_models, n)) < 0.2)
    roles = np.where(forgotten, FORGOTTEN, np.where(member, KEPT, NEVER)).astype(np.uint8)
    roles[:, n - n_population :] = POPULATION
    return roles


def logits_of(roles, truth, ease, memory, skill, rng):
    """Logits whose true class gains with skill, and with memory where the model learnt (or did not forget) a record."""
    learnt = np.where(roles == KEPT, 1.5, np.where(roles == FORGOTTEN, memory, 0.0))
    noise = rng.normal(0, 0.7, (*roles.shape, K))
    noise[:, np.arange(len(truth)), truth] += ease + learnt + skill
    return noise.astype(np.float32)


def made_pools(left=0.0, n_models=32, n=600, n_population=200, seed=0, ids=None):
    """Pools of an audit whose unlearner leaves this much of a member's memory (1.5 = all of it) in the models."""
    rng = np.random.default_rng(seed)
    truth, ease = rng.integers(0, K, n), rng.normal(0.6, 0.9, n)
    roles = roles_of(n_models, n, n_population, rng)

    def pool(world, memory, skill=0.8, which=roles, shift=0):
        z = logits_of(which, truth, ease, memory, skill, rng)
        names = tuple(f"{world}-{i}" for i in range(len(which)))
        return Pool(world, which, truth, np.arange(len(which)) + shift, seeds=names, logits=z)

    controls = {"retrain": pool("other", 0.0), "random init": pool("other", 0.0, skill=-ease)}
    pools = (pool("before", 1.5), pool("after", left), pool("reference", 0.0))
    named = tuple(f"record-{i:04d}" for i in range(n)) if ids is None else tuple(ids)
    return Pools(named, truth, K, pools, subgroups={"older records": np.arange(n) < 80}, controls=controls)


def made_evidence(statuses=None, arm="after", policy=POLICY):
    """Evidence that answers the policy's questions as told (all clean), for rendering without the battery."""
    asked = [(q, name, d) for q in policy.questions for name, d in ((q.evidence, q.margin), (q.worst, 2 * q.margin))]
    return [
        _made(q, name.replace("@after", f"@{arm}"), (statuses or {}).get(q.name, "clean"), d)
        for q, name, d in asked
        if name
    ]


def _made(question, name, status, d):
    low, high = {
        "clean": (-0.4 * d, 0.6 * d),
        "residue": (1.7 * d, 2.9 * d),
        "overshoot": (-3 * d, -2 * d),
        "inconclusive": (-1.2 * d, 1.9 * d),
        "not_measured": (0, 0),
    }[status]
    if status == "not_measured":
        return Evidence.missing(name, "the models give no class probabilities")
    sign = 1 if question.harmful == "higher" else -1
    ends = sorted((sign * low, sign * high))
    return Evidence(
        name=name,
        estimator="made for this test; 95 % jackknife over 8 blocks of models",
        value=sum(ends) / 2,
        low=ends[0],
        high=ends[1],
        n=64,
        unit="models",
        n_models=64,
        null=Null(what="retrain against retrain", value=0.0, low=-0.5 * d, high=0.5 * d, n=32),
        power=0.8 * d,
        seeds=("audit-0",),
    )


def recoveries_of(left):
    """What relearning would have measured on the three arms."""
    found = []
    for arm, start in (("before", 0.9), ("after", 0.1 + left / 2), ("reference", 0.1)):
        for k in (0, 1, 3, 10):
            value = min(0.94, start + 0.04 * k)
            ends = (round(value - 0.06, 4), round(value + 0.06, 4))
            name = f"relearning.recovery_k{k}@{arm}"
            found.append(Evidence(name=name, estimator="made", value=value, low=ends[0], high=ends[1], n=40))
    return found


def made_report(pools=None, evidence=None, left=0.0, controls=(), **changes):
    """The auditor's report of simulated pools."""
    pools = made_pools(left) if pools is None else pools
    found = (*made_evidence(), *made_evidence({"membership": "residue"}, "before")) if evidence is None else evidence
    views = views_of(pools, POLICY, ("cat", "dog", "heron", "newt"))
    fields = {
        "registered": POLICY,
        "controls": controls,
        "views": views,
        "cost": (
            Spent(what="training the models before", seconds=18.2, samples=4_608_000, models=32),
            Spent(what="unlearning", seconds=1.4, samples=380_000, models=32),
            Spent(what="retraining", seconds=15.9, samples=4_120_000, models=32),
            Spent(what="the battery", seconds=9.7),
        ),
        "seeds": POLICY.seeds,
        "versions": ("expunge 0.1.0", "numpy 2.1"),
        "deviations": ("The learning rate of the unlearner was halved.",),
        "assumptions": ("Models of one pool are trained independently, given their draws.",),
    }
    about = Audited.of(
        pools, "Sample classifier", method="Finetune(n_epochs=6, lr=0.02)", learner="Network(mlp, n_epochs=60)",
        artefact="ab" * 32, level="L1",
    )  # fmt: skip
    return report_of(
        about, Guarantee(kind="empirical"), POLICY, (*found, *recoveries_of(left)), **{**fields, **changes}
    )


def measured_report(left, n_models=32, policy=POLICY):
    """A report whose evidence the battery measured."""
    pools = made_pools(left, n_models)
    return made_report(pools, run(pools, policy), left, run_controls(pools, policy))


if __name__ == "__main__":
    import sys
    from pathlib import Path

    from expunge.audit.pages.render import audit_html, audit_json, audit_markdown

    folder = Path(sys.argv[1])
    folder.mkdir(exist_ok=True)
    for name, report in (
        ("made", made_report(left=0.3)),
        ("traces", measured_report(1.3, 64)),
        ("retrained", measured_report(0.0, 64)),
    ):
        for form in (report, report.public()):
            (folder / f"{name}-{form.audience}.html").write_text(audit_html(form))
            (folder / f"{name}-{form.audience}.md").write_text(audit_markdown(form))
            (folder / f"{name}-{form.audience}.json").write_bytes(audit_json(form))
