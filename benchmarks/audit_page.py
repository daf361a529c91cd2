"""Make docs/reference/audit-benchmarks.md from the committed results of the audit's suite."""

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "audit.json"
PAGE = HERE.parent / "docs" / "reference" / "audit-benchmarks.md"


def main() -> None:
    """Make the page from the committed results."""
    PAGE.write_text("\n".join(lines(json.loads(RESULTS.read_text()))) + "\n")
    print(f"wrote {PAGE.relative_to(HERE.parent)}")


def table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> list[str]:
    """Return a table."""
    body = [f"| {' | '.join(map(str, row))} |".replace("| -", "| −") for row in rows]
    return ["", f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *body]


def lines(report: dict[str, Any]) -> list[str]:
    """Return the page's lines."""
    return [
        "# Benchmarks of the audit",
        "",
        "Made by `python -m benchmarks audit` from `benchmarks/results/audit.json`. CPU seconds of one thread; every"
        f" ratio is taken within one run. Python {report['python']}, numpy {report['numpy']}, scipy {report['scipy']},"
        f" {report['machine']}. What the measures mean is told in"
        " [Measuring what is left](../explanation/measuring.md).",
        *scorer_lines(report["scorer"], report["forgetting"]),
        *margin_lines(report["margins"]),
        *battery_lines(report["battery"]),
    ]


def scorer_lines(found: dict[str, Any], rows: list[dict[str, Any]]) -> list[str]:
    """Return what there is to say of the NeurIPS scorer."""
    pace = [
        (
            name,
            f"{found[key]:,.0f}" if found[key] > 100 else f"{found[key]:.2g}",
            f"{found['loop_ms'] / found[key]:,.0f}×",
        )
        for name, key in (
            ("a loop over thresholds and pairs of thresholds", "loop_ms"),
            ("our published grid (`likeness.forgetting_quality_legacy`)", "grid_ms"),
            ("our exact sweep (`likeness.forgetting_quality_ratio`)", "exact_ms"),
        )
    ]
    quality_rows = [
        (
            r["n_models"],
            f"{r['sd']:g}",
            f"{r['printed']:.3f}",
            f"{r['f_grid']:.3f} ± {1.96 * r['f_grid_se']:.3f}",
            *(f"{r[key]:.3f}" for key in ("f", "f_null")),
            f"{r['ratio']:.2f}",
        )
        for r in rows
    ]
    far = [f"{r['n_models']} models, sd {r['sd']:g}" for r in rows if abs(r["f_grid"] - r["printed"]) > 0.03]
    return [
        "",
        "## Forgetting quality (NeurIPS 2023)",
        "",
        f"One record, {found['n_models']} + {found['n_models']} models of two equal normal pools. The loop is the"
        " published rule, written out as it stands. The largest difference between it and the grid is"
        f" {found['largest_difference']:g}; the exact sweep finds no less in any record, and sees intervals that"
        " the grid steps over.",
        *table(("way", "milliseconds a record", "against the loop"), pace),
        "",
        "F of two pools of the *same* kind of models, where a perfect unlearning should score 1. F/F_null is what the"
        " battery reports.",
        *table(
            ("models a side", "sd", "F, known", "F, our grid", "F, exact", "F_null, exact", "F/F_null"), quality_rows
        ),
        "",
        f"Asked for: 100 times the speed of the loop ({found['loop_ms'] / found['grid_ms']:,.0f} times), and F of equal"
        f" pools within 0.03 of what is known: {'not so for ' + '; '.join(far) if far else 'so it is'}. The known"
        f" figures rest on few records, ours on {rows[0]['n_records']:,}; grid and loop are the same rule to six"
        " digits.",
    ]


def margin_lines(found: dict[str, Any]) -> list[str]:
    """Return what there is to say of KLoM."""
    nulls = [(r["n_models"], f"{r['printed']:.2f}", f"{r['legacy']:.2f}") for r in found["nulls"]]
    rest = [
        (r["draw"], f"{r['legacy']:.3f}", f"{r['calibrated']:.4f}", f"{r['one_sd_legacy']:.2f}", f"{r['one_sd']:.2f}")
        for r in found["calibrated"]
    ]
    largest = max(abs(r["calibrated"]) for r in found["calibrated"])
    return [
        "",
        "## KLoM",
        "",
        f"On given margins the published form is met bit for bit in {found['equal']:,} of {found['of']:,} records, in"
        f" {found['ours_ms']:.0f} ms against {found['loop_ms']:.0f} ms record by record. It is far from zero for two"
        " equal pools, and the less so the more models there are:",
        *table(("models a side", "published form, known", "published form, here"), nulls),
        "",
        "With 100 models a side, mean over records, before and after the null of shuffled labels is taken off; and the"
        " same for a shift by one standard deviation (KL 0.5 between normals):",
        *table(("signals", "equal, published", "equal, calibrated", "shifted, with null", "shifted, calibrated"), rest),
        "",
        f"Asked for: a calibrated null of 0 ± 0.03 at 100 models; the largest is {largest:.4f}.",
    ]


def battery_lines(found: dict[str, Any]) -> list[str]:
    """Return what the battery costs."""
    rows = [
        (f"`{r['measure']}`", *(cell for d in ("own", "same") for cell in (f"{r[d]['seconds']:.1f}", said(r[d]))))
        for r in found["measures"]
    ]
    total, n = found["seconds"], found["n_models"]
    rows.append(("all", f"{total['own']:.1f}", "", f"{total['same']:.1f}", ""))
    head = ("measure", "own: seconds", "own: measured", "same: seconds", "same: measured")
    return [
        "",
        "## The whole battery",
        "",
        f"{n} + {n} + {n} models, {found['n_records']:,} records, 10 classes, default policy with the literature's"
        " forms. *Own*: each model learnt half of the records and forgot a fifth of these, by a draw of its own."
        " *Same*: all models forgot the same records, as after one request. What a design cannot give is counted as not"
        " measured: membership of single records needs models that never learnt them, and distributions need 64 models"
        " that forgot them.",
        *table(head, rows),
    ]


def said(cell: dict[str, Any]) -> str:
    """Return how much of the evidence was measured."""
    return f"{cell['measured']} of {cell['of']}"


if __name__ == "__main__":
    main()
