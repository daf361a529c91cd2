"""``expunge audit``: plan, run, logits, render and purge do what their help says; ``expunge audit STORE`` stays."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from service.world import PERSON, clinic, plant_tally

from expunge.audit import bundle, examine, worlds
from expunge.audit.battery.run import run as battery
from expunge.audit.battery.run import run_controls
from expunge.audit.findings import read_audit
from expunge.audit.pages import figures
from expunge.audit.pools import FORGOTTEN, KEPT
from expunge.cli import audit as group
from expunge.cli import audited
from expunge.cli.main import run
from expunge.core.policy import AuditPolicy
from expunge.core.verdict import CHANGED, SEVERITY
from expunge.service.store import Store

Run = Callable[..., str]
FEW = ("accuracy", "likeness")
PAGES = ["report.html", "report.json", "report.md"]


@pytest.fixture(autouse=True)
def few_models_and_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    plant_tally()
    monkeypatch.setattr(worlds, "MODELS", {"quick": (4, 4), "standard": (6, 4), "full": (6, 4)})
    monkeypatch.setattr(examine, "run", partial(battery, measures=FEW))
    monkeypatch.setattr(examine, "run_controls", partial(run_controls, measures=FEW))


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the drawing out, which takes seconds."""
    monkeypatch.setattr(figures, "figures", lambda report: [])


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command line that must end with a code; return its stdout."""

    def call(*arguments: object, code: int = 0) -> str:
        found = run([str(a) for a in arguments])
        out = capsys.readouterr()
        assert found == code, out.err
        return out.out if code == 0 or out.out else out.err

    return call


@pytest.fixture
def store(tmp_path: Path, cli: Run) -> Path:
    clinic().to_csv(tmp_path / "people.csv", index=False)
    columns = ("--target", "ill", "--subject", "email", "--id", "visit")
    cli("train", tmp_path / "people.csv", tmp_path / "store", *columns, "--learner", "tally", "--holdout", 0.25)
    return tmp_path / "store"


def test_a_whole_audit_from_plan_to_purge(
    cli: Run, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "audit"
    planned = json.loads(cli("audit", "plan", "--budget", "quick", "--store", store, "--out", out, "--json"))
    assert (planned["n_models"], planned["n_references"], planned["n_fits"]) == (4, 4, 12)
    assert planned["seconds"] > 0
    assert AuditPolicy.from_bytes((out / "policy.json").read_bytes()).digest() == planned["policy"]
    found = json.loads(cli("audit", "run", store, "--out", out, "--jobs", 1, "--bundle", "--json"))
    assert found["verdict"]["policy"] == planned["policy"]  # what is not asked for is what was registered
    report = read_audit((out / "report.json").read_bytes())
    assert report.registered == report.policy
    assert report.verdict.as_json() == found["verdict"]
    assert report.audited.method == "Native()"
    assert report.audited.precision == "float64"
    assert report.audited.n_models == {"before": 4, "after": 4, "reference": 4}
    assert sorted(p.name for p in out.iterdir() if p.name.startswith("report")) == PAGES
    assert {oct((out / name).stat().st_mode & 0o777) for name in PAGES} == {"0o600"}
    signals = store / "cache" / "signals"
    assert list(signals.rglob("*.npz"))

    given = ("--out", tmp_path / "other", "--budget", "quick", "--json")
    with monkeypatch.context() as undrawn:
        undrawn.setattr(figures, "figures", lambda report: [])
        said = json.loads(cli("audit", "logits", out / "bundle", *given))
    other = read_audit((tmp_path / "other" / "report.json").read_bytes())
    inside = ("likeness.equal@", "relearning.")  # these take the model itself
    theirs, mine = ([e for e in r.evidence if not e.name.startswith(inside)] for r in (other, report))
    assert len(mine) > 10
    assert [e.canonical() for e in theirs] == [e.canonical() for e in mine]
    assert said["verdict"]["overall"] == found["verdict"]["overall"]
    pseudonyms = bundle.read(out / "bundle").pools.ids
    assert not any("visit" in name for name in pseudonyms)

    cli("audit", "render", out / "report.json", "--out", tmp_path / "again")
    for name in PAGES:
        assert (tmp_path / "again" / name).read_bytes() == (out / name).read_bytes(), name
    assert json.loads(cli("audit", "purge", store, "--json")) == {"purged": 4}
    assert not list(signals.iterdir())


@pytest.mark.usefixtures("no_figures")
def test_the_public_form_names_no_record(cli: Run, store: Path, tmp_path: Path) -> None:
    out = tmp_path / "audit"
    cli("audit", "run", store, "--out", out, "--jobs", 1, "--budget", "quick")
    cli("audit", "render", out / "report.json", "--for", "public", "--out", tmp_path / "public")
    public = b"".join((tmp_path / "public" / name).read_bytes() for name in PAGES)
    assert not any(str(name).encode() in public for name in clinic()["visit"])
    assert read_audit((tmp_path / "public" / "report.json").read_bytes()).audience == "public"
    assert "--out" in cli("audit", "render", out / "report.json", "--for", "public", code=2)
    cli("audit", "run", store, "--out", tmp_path / "p", "--jobs", 1, "--budget", "quick", "--for", "public")
    assert read_audit((tmp_path / "p" / "report.json").read_bytes()).audience == "public"


@pytest.mark.usefixtures("no_figures")
def test_the_exit_code_is_0_unless_asked(cli: Run, store: Path, tmp_path: Path) -> None:
    run_it = ("audit", "run", store, "--out", tmp_path / "a", "--jobs", 1, "--budget", "quick")
    shown = cli(*run_it)
    report = read_audit((tmp_path / "a" / "report.json").read_bytes())
    assert f"verdict  {report.verdict.overall}" in shown
    for worst, verdicts in audited.RANK.items():  # few models of a key of their own: whichever verdict it is
        cli(*run_it, "--fail-on", worst, code=int(report.verdict.overall in verdicts))


def test_failing_on_inconclusive_fails_on_all_that_is_worse() -> None:
    assert audited.RANK["residue"] == ("invalid", "residue")
    assert set(audited.RANK["inconclusive"]) == set(SEVERITY) - {"clean"}


@pytest.mark.usefixtures("no_figures")
def test_a_policy_that_was_loosened_is_refused_before_any_model_is_made(cli: Run, store: Path, tmp_path: Path) -> None:
    """V7: it would be invalid, once everything is trained; a tighter one goes on."""
    out, other = tmp_path / "audit", tmp_path / "other.json"
    cli("audit", "plan", "--budget", "quick", "--out", out)
    registered = (out / "policy.json").read_bytes()

    def asked(margin: float) -> str:
        margins = [q.as_json() | {"margin": margin} for q in AuditPolicy().questions]
        return json.dumps({"questions": margins, "budget": "quick"})

    other.write_text(asked(0.5))
    for changed, planned in ((("--policy", other), (other,)), (("--budget", "full"), ("--budget", "full"))):
        said = cli("audit", "run", store, "--out", out, *changed, "--jobs", 1, code=2)
        assert "another --out" in said
        assert "another --out" in cli("audit", "plan", "--out", out, *planned, code=2)
    assert not list((store / "cache").rglob("*.npz"))
    other.write_text(asked(0.001))
    found = json.loads(cli("audit", "run", store, "--out", out, "--policy", other, "--jobs", 1, "--json"))
    assert CHANGED not in found["verdict"]["reasons"]
    assert (out / "policy.json").read_bytes() == registered
    other.write_text('{"alpha": 0.9}')
    assert "alpha" in cli("audit", "run", store, "--out", out, "--policy", other, code=2)


def test_what_cannot_be_served_registers_nothing(cli: Run, store: Path, tmp_path: Path) -> None:
    """A slip must not bind the next try to the policy of the first."""
    out, ids = tmp_path / "audit", tmp_path / "ids.txt"
    ids.write_text("nobody")
    cli("audit", "run", store, "--out", out, "--forget", ids, code=10)
    cli("audit", "run", store, "--out", out, "--unlearner", "removal", code=34)
    cli("audit", "run", store, "--out", out, "--unlearner", "typo", code=19)
    assert "--jobs" in cli("audit", "run", store, "--out", out, "--jobs", 0, code=2)
    cli("audit", "run", tmp_path / "nowhere", "--out", out, code=41)
    cli("audit", "logits", tmp_path / "nowhere", "--out", out, code=2)
    assert not out.exists()


@pytest.mark.usefixtures("no_figures")
def test_what_is_asked_for_is_forgotten_together(cli: Run, store: Path, tmp_path: Path) -> None:
    with Store.open(store) as opened:
        ids = opened.deployment().data.ids[:9].tolist()
    (tmp_path / "ids.txt").write_text("\n".join(ids))
    out = tmp_path / "audit"
    asked = ("--forget", tmp_path / "ids.txt", "--bundle")
    cli("audit", "run", store, "--out", out, *asked, "--jobs", 1, "--budget", "quick")
    roles = bundle.read(out / "bundle").pools.need("after").roles
    assert not (roles[:, :9] == KEPT).any()
    assert not (roles[:, 9:] == FORGOTTEN).any()
    assert read_audit((out / "report.json").read_bytes()).audited.n_forgotten == (roles == FORGOTTEN).any(axis=0).sum()
    (tmp_path / "ids.txt").write_text("nobody")
    assert "unknown-record" in cli("audit", "run", store, "--out", out, "--forget", tmp_path / "ids.txt", code=10)


@pytest.mark.usefixtures("no_figures")
def test_forgetting_empties_what_audits_kept(cli: Run, store: Path, tmp_path: Path) -> None:
    cli("audit", "run", store, "--out", tmp_path / "a", "--jobs", 1, "--budget", "quick")
    assert list((store / "cache").rglob("*.npz"))
    cli("forget", store, "--subject", PERSON, "--shadows", 0)
    assert not list((store / "cache").rglob("*.npz"))


def test_a_malformed_bundle_is_one_error(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    assert "malformed-evidence" in cli("audit", "logits", tmp_path / "b", "--out", tmp_path / "o", code=1)
    assert not (tmp_path / "o").exists()
    (tmp_path / "r.json").write_text("{}")
    assert "malformed-evidence" in cli("audit", "render", tmp_path / "r.json", code=1)


def test_the_hint_of_a_malformed_bundle_or_report_is_not_about_receipts(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "r.json").write_text(json.dumps({"schema_version": "expunge/audit/v2"}))
    for asked, hint in (
        (("logits", tmp_path / "b", "--out", tmp_path / "o"), "whoever wrote the bundle"),
        (("render", tmp_path / "r.json"), "another version"),
    ):
        said = cli("audit", *asked, code=1)
        assert hint in said
        assert "receipt" not in said


def test_auditing_the_current_model_is_what_is_meant_without_a_subcommand(cli: Run, store: Path) -> None:
    lines = [
        cli("audit", store, "--shadows", 0),
        cli("audit", "--shadows", 0, store),
        cli("audit", "now", store, "--shadows", 0),
    ]
    assert lines[0] == lines[1] == lines[2]
    assert "membership.loss_auc@now" in lines[0]
    assert "Usage: expunge audit now" in cli("audit", "now", "--help")
    assert "No such option" in cli("audit", store, "--shadow-models", 3, code=2)
    assert "No such command 'rnu'" in cli("audit", "rnu", store, code=2)
    assert "store-missing" in cli("audit", "nowhere", code=41)


def test_every_subcommand_teaches(cli: Run) -> None:
    assert set(group.audit.commands) == {"now", "plan", "run", "logits", "render", "purge"}
    for name in group.audit.commands:
        text = cli("audit", name, "--help")
        assert "Examples:" in text, name
        assert "--json" in text, name
