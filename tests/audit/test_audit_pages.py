"""The pages of an audit: made from its record alone, the same bytes each time, inert, no stronger in words (V9)."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from audit_sample import POLICY, K, made_evidence, made_pools, made_report
from reading import Text, numbers_of, unknown_numbers
from test_findings import CONTROLS

from expunge.audit.findings import read_audit
from expunge.audit.pages import tables, words
from expunge.audit.pages.render import audit_html, audit_json, audit_markdown
from expunge.core.evidence import Evidence
from expunge.core.verdict import ControlRun

BAD = '<script>alert("1")</script>|*'


def measured(name, value, low, high):
    return Evidence(name=name, estimator="made", value=value, low=low, high=high, n=50)


@pytest.fixture(scope="module")
def report():
    found = (
        *made_evidence({"records": "inconclusive"}),
        *made_evidence({"membership": "residue"}, "before"),
        measured("likeness.klom_forgotten_legacy@after", 0.33, 0.3, 0.4),
        measured("likeness.klom_forgotten_excess@after", 0.01, -0.1, 0.1),
        Evidence.missing("membership.svc_confidence_legacy@after", "unsupported: there are no logits"),
    )
    return made_report(made_pools(0.3), found, left=0.3, controls=CONTROLS)


@pytest.fixture(scope="module")
def page(report):
    return audit_html(report)


@pytest.fixture(scope="module")
def public(report):
    return audit_html(report.public())


@pytest.fixture
def no_figures(monkeypatch):
    monkeypatch.setattr("expunge.audit.pages.figures.figures", lambda _: [])


def test_rendering_twice_gives_equal_bytes_also_from_json(report, page):
    read = read_audit(audit_json(report))
    assert audit_html(read) == page
    assert audit_markdown(read) == audit_markdown(report)


def test_one_page_no_script_no_request(page):
    seen = Text(page)
    assert not {tag for tag, _ in seen.tags} & {"script", "link", "iframe", "object", "img", "image", "base", "form"}
    policy = next(a["content"] for t, a in seen.tags if t == "meta" and "http-equiv" in a)
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    links = [v for _, a in seen.tags for k, v in a.items() if k in ("src", "href", "xlink:href", "action")]
    assert all(v.startswith("#") for v in links)
    assert not re.search(r"url\((?!#)", page)
    assert "@import" not in page
    assert len(page.encode()) < 2_000_000


def test_figures_are_described_and_carry_their_data(page):
    seen = Text(page)
    assert len(seen.ids) == len(set(seen.ids))
    drawings = [a for t, a in seen.tags if t == "svg"]
    assert len(drawings) == 7
    assert all(a["role"] == "img" and len(a["aria-label"]) > 60 for a in drawings)
    assert sum(t == "figcaption" for t, _ in seen.tags) == 7
    assert page.count('class="plot-data"') == 6  # the first figure draws the table above it


def test_every_number_on_the_page_is_in_the_record(report, page):
    times = [c.seconds for c in report.cost if c.seconds is not None]
    written = {t * scale for t in times for scale in (1e3, 1e6, 1 / 60)}
    told = numbers_of(report.as_json())
    counts = {float(len(v)) for s in report.views.spreads for v in (s.before, s.after, s.reference)}
    clean = sum(f.status == "clean" for f in report.verdict.findings)
    known = np.array(sorted({*told, *written, *counts, float(clean), float(len(report.verdict.findings))}))
    ranks = {float(i + 1) for i in range(12)}
    fixed = ranks | {0.05, 0.25, 0.5, 0.75, 0.95, 5.0, 80.0, 95.0, 256.0, 10.0, 0.0001}
    assert unknown_numbers(page, known, fixed) == []


def test_numbers_stand_with_interval_and_n(page, report):
    """No bare point: every answer has its interval, margin and n."""
    text = " ".join(" ".join(Text(page).text).split())
    for f in report.verdict.findings:
        assert words.excess(f) in text
        assert re.fullmatch(r"Margin [\d.]+; n [\d,]+ \w+(, [\d,]+ models)?\.", words.basis(f))
    assert "would decide" in text


def test_a_record_called_script_is_inert():
    """Every text of the record is hostile here: ids, classes, groups, notes, names."""
    pools = made_pools(0.3, n=120, n_population=40, n_models=16, ids=[f"{BAD}{i}" for i in range(120)])
    hostile = [e.model_copy(update={"note": BAD, "estimator": BAD}) for e in made_evidence()]
    hostile.append(Evidence.missing(f"x.{BAD}@after", BAD))
    made = made_report(pools, hostile, controls=CONTROLS)
    shares = tuple(s.model_copy(update={"group": BAD}) for s in made.views.shares)
    matrices = tuple(m.model_copy(update={"labels": (BAD,) * K}) for m in made.views.matrices)
    made = made.model_copy(
        update={
            "audited": made.audited.model_copy(update={"name": BAD, "method": BAD, "learner": BAD, "level": BAD}),
            "views": made.views.model_copy(update={"shares": shares, "matrices": matrices, "notes": (BAD,)}),
            "deviations": (BAD,),
            "versions": (BAD,),
            "not_covered": (BAD,),
            "assumptions": (BAD,),
            "seeds": (BAD,),
        }
    )
    page, text = audit_html(made), audit_markdown(made)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "alert(" in page
    assert "<script" not in text


def test_the_public_page_has_no_single_record(report, page, public):
    ids = made_pools(0.3).ids
    assert any(i in page for i in ids)
    assert not any(i in public for i in ids)
    assert "figure-f4" in page
    assert "figure-f4" not in public
    assert report.digest() in public


@pytest.mark.parametrize("statuses", [{}, {"membership": "residue"}, {"records": "inconclusive"}])
@pytest.mark.usefixtures("no_figures")
def test_words_claim_no_more_than_a_measurement(statuses):
    """V9: "within the margin of retraining, on these questions, with this power", never erased or proved."""
    made = made_report(
        evidence=(*made_evidence(statuses), *made_evidence({"membership": "residue"}, "before")), controls=CONTROLS
    )
    for text in (audit_html(made), audit_markdown(made)):
        assert not re.search(r"\b(erased|deleted|proved|proven|confirmed|guaranteed|safe)\b", text.lower())
        said = "within the margin of retraining, on these questions, with this power"
        assert (said in " ".join(text.split())) == (made.verdict.overall == "clean")
        assert "near duplicates" in text
        assert words.HEADINGS[made.verdict.overall] in text


@pytest.mark.usefixtures("no_figures")
def test_an_invalid_audit_prints_no_verdict():
    """V1: neither on the page nor in the text is any question answered."""
    blind = ControlRun(kind="retrain", evidence=tuple(made_evidence({"membership": "residue"})))
    made = made_report(controls=(*CONTROLS, blind))
    for text in (audit_html(made), audit_markdown(made)):
        assert words.HEADINGS["invalid"] in text
        assert "No question is answered" in text
        assert not any(words.question(q.name) in text for q in POLICY.questions)
        assert "within the margin of retraining" not in text.lower()


def test_w3_what_was_not_measured_stands_on_the_page_with_its_reason(page, report):
    """W3."""
    assert "unsupported: there are no logits" in page
    assert "membership.svc_confidence_legacy@after" in page
    assert "unsupported: there are no logits" in audit_markdown(report)


def test_forms_of_the_literature_stand_beside_the_corrected_ones(report):
    (row,) = tables.beside(report)
    assert (row.label, row.legacy) == ("likeness.klom_forgotten_legacy@after", "0.33 [0.3, 0.4]")
    assert row.corrected == (("likeness.klom_forgotten_excess@after", "0.01 [−0.1, 0.1]"),)
    assert "Histograms" in row.why
    shown = [b.name for _, blocks in tables.measures(report) for b in blocks]
    assert not any("legacy" in name for name in shown)


@pytest.mark.usefixtures("no_figures")
def test_a_bare_report_renders():
    made = made_report(
        evidence=(), controls=(), views=type(made_report().views)(), cost=(), seeds=(), versions=(), registered=None
    )
    for text in (audit_html(made), audit_markdown(made)):
        assert words.HEADINGS["inconclusive"] in text
        assert "Nothing was measured" in text or "Table 1" in text


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium on this machine")
def test_a_browser_loads_it_without_a_request(page, tmp_path):
    """Section 11: no network request in a headless load, and nothing that the CSP blocks."""
    file = tmp_path / "report.html"
    file.write_text(page)
    log = tmp_path / "net.json"
    run = subprocess.run(
        [
            shutil.which("chromium"), "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
            f"--user-data-dir={tmp_path / 'profile'}", f"--log-net-log={log}", "--disable-background-networking",
            "--host-resolver-rules=MAP * ~NOTFOUND", "--no-first-run", "--dump-dom", file.as_uri(),
        ],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert "The registered questions" in run.stdout
    assert "Content Security Policy" not in run.stderr
    asked = set(re.findall(r'"url":"https?://([^/"]+)', Path(log).read_text()))
    own = ("google.com", "googleapis.com", "gstatic.com", "gvt1.com")  # what the browser asks for whatever it shows
    assert not {host for host in asked if not host.endswith(own)}
