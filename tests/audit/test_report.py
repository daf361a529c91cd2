"""The report: made from its record alone, the same bytes each time, inert, and honest in its words."""

import re

import numpy as np
import pytest
from reading import Text, numbers_of, unknown_numbers
from sample import EXACT, sample

from expunge.audit import wording
from expunge.audit.report import Asked, Report, render_html, render_markdown, report_json
from expunge.core.canonical import read_json
from expunge.core.errors import MalformedEvidence
from expunge.core.guarantee import Guarantee

GUARANTEES = [
    EXACT,
    Guarantee(kind="certified", epsilon=1.0, delta=1e-5),
    Guarantee(kind="empirical"),
    Guarantee(kind="suppression"),
]


@pytest.fixture(scope="module")
def made():
    return sample()


@pytest.fixture(scope="module")
def page(made):
    return render_html(made)


def test_the_record_round_trips_and_is_closed(made):
    data = report_json(made)
    assert Report.from_bytes(data) == made
    with pytest.raises(MalformedEvidence):
        Report.from_json(read_json(data) | {"more": 1})


def test_rendering_twice_gives_equal_bytes_also_from_json(made, page):
    assert render_html(Report.from_bytes(report_json(made))) == page
    assert render_markdown(made) == render_markdown(Report.from_bytes(report_json(made)))


def test_one_page_no_script_no_request(page):
    seen = Text(page)
    names = {tag for tag, _ in seen.tags}
    assert not names & {"script", "link", "iframe", "object", "img", "base", "form"}
    policy = next(a["content"] for t, a in seen.tags if t == "meta" and "http-equiv" in a)
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    links = [v for _, a in seen.tags for k, v in a.items() if k in ("src", "href", "xlink:href", "action")]
    assert all(v.startswith("#") for v in links)
    assert not re.search(r"url\((?!#)", page)
    assert "@import" not in page
    assert len(page) < 2_000_000


def test_ids_are_unique_and_figures_described(page):
    seen = Text(page)
    assert len(seen.ids) == len(set(seen.ids))
    drawings = [a for t, a in seen.tags if t == "svg"]
    assert len(drawings) == 4
    assert all(a["role"] == "img" and len(a["aria-label"]) > 60 for a in drawings)


def test_every_number_on_the_page_is_in_the_record(made, page):
    times = [e.value for e in made.evidence if "seconds" in e.name] + [o.seconds or 0.0 for o in made.done.options]
    times += [made.done.prediction.seconds] if made.done.prediction and made.done.prediction.seconds else []
    written = {t * scale for t in times for scale in (1e3, 1e6, 1 / 60)}  # in milliseconds, microseconds, minutes
    known = np.array(sorted({*numbers_of(made.as_json()), *written}))
    template = " ".join((*wording.ALWAYS, wording.promise(made.guarantee), *wording.MEASURES.values()))
    fixed = {float(n) for n in re.findall(r"\d+(?:\.\d+)?", template)} | {10.0, 95.0, 256.0}
    assert not unknown_numbers(page, known, fixed)


def test_hostile_text_is_inert(made):
    bad = '<script>alert(1)</script>"&|'
    hostile = made.model_copy(
        update={
            "asked": Asked(ref=bad),
            "trained": made.trained.model_copy(update={"dataset": bad, "learner": bad}),
            "not_covered": (bad,),
            "evidence": (
                made.evidence[0].model_copy(update={"name": f"x.{bad}@after", "note": bad, "estimator": bad}),
            ),
        }
    )
    page = render_html(hostile)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "<script" not in render_markdown(hostile)


@pytest.mark.parametrize("guarantee", GUARANTEES, ids=lambda g: g.kind)
def test_words_do_not_claim_more_than_the_guarantee(made, guarantee, monkeypatch):
    monkeypatch.setattr("expunge.audit.figures.figures", lambda *_: [])
    changed = made.model_copy(update={"guarantee": guarantee})
    for text in (render_html(changed), render_markdown(changed)):
        plain = text.lower()
        if guarantee.kind != "exact":
            assert not re.search(
                r"\b(erased|deleted|proved|proven|removed from the model\.)",
                plain.replace("was not removed from the model.", ""),
            )
            assert "bit for bit, the model" not in plain
        assert wording.heading(guarantee).lower() in plain
    assert "not removed" in wording.promise(GUARANTEES[3])


def test_missing_evidence_is_shown_with_its_reason(page):
    assert "Not measured" in page
    assert "the model keeps no memory beside its state" in page


def test_a_missed_threshold_is_on_the_banner(made, monkeypatch):
    monkeypatch.setattr("expunge.audit.figures.figures", lambda *_: [])
    judged = made.evidence[0].judged(2.0, "higher")
    text = render_html(made.model_copy(update={"evidence": (judged, *made.evidence[1:])}))
    assert "Not every threshold of the policy was met" in text


def test_no_record_or_subject_of_the_world_is_named(page, made):
    assert not re.search(r"\bp\d+\b", " ".join(Text(page).text))
    assert b"10001" not in report_json(made)


def test_a_bare_report_renders(made):
    bare = made.model_copy(update={"evidence": (), "curves": type(made.curves)(), "receipt": None, "rulings": ()})
    assert "No receipt has been signed" in render_html(bare)
    assert "No receipt has been signed" in render_markdown(bare)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1, "1"),
        (0.7132789, "0.7133"),
        (-0.00392, "−0.00392"),
        (12345.6, "12,346"),
        (1e-7, "1.00e−07"),
        (101766, "101,766"),
        (0.99996, "1"),
        (999.96, "1000"),
    ],
)
def test_numbers_for_people(value, text):
    assert wording.number(value) == text


def test_times_for_people():
    assert wording.moment("2026-03-01T09:05:59+02:00") == "2026-03-01 07:05 UTC"
    assert [wording.moment(text) for text in ("2026-03-01", "last spring")] == ["2026-03-01", "last spring"]


def test_the_figure_of_losses_says_when_the_forgotten_are_not_drawn(made, page):
    assert "Dashed lines are means of the forgotten" in page
    others = tuple(h for h in made.curves.losses if h.group == "holdout")
    bare = made.model_copy(update={"curves": made.curves.model_copy(update={"losses": others})})
    assert "too few to be drawn" in render_html(bare)


def test_findings_compare_with_the_retrained_model_not_with_one_half(made):
    said = " ".join(wording.findings(made.evidence))
    assert "could tell from the old model" in said
    assert "gives exactly what the retrained one gives" in said
    named = {e.name: e for e in made.evidence}
    quiet = [
        e.model_copy(update={"value": 0.0, "low": -0.1, "high": 0.1}) if e.name.endswith("_auc_excess@before") else e
        for e in named.values()
    ]
    assert "no clear trace even in the old model" in " ".join(wording.findings(quiet))
