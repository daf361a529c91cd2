"""Deep unlearning compared: python -m benchmarks.deep [--scenes stack,faces] [--kinds random] [--seeds 3].

Resumable: what of a cell is there is not run again. ``--page`` only makes the page of what is there; ``--speed``
measures the loop against plain ones.
"""

import argparse
import json

from benchmarks.deep import speed, suite, table
from benchmarks.deep.scenes import SETTINGS


def cells(given: argparse.Namespace) -> list[suite.Cell]:
    """The cells that are asked for, cheap ones first."""
    names = given.scenes.split(",") if given.scenes else list(SETTINGS)
    found = []
    for seed in range(given.seeds):
        for name in names:
            try:
                setting = SETTINGS[name](seed)
            except FileNotFoundError as error:
                print(f"{name} is left out: {error}")
                continue
            kinds = given.kinds.split(",") if given.kinds else list(setting.kinds)
            n = given.models or setting.n_models
            found += [suite.Cell(name, kind, seed, n) for kind in kinds if kind in setting.kinds]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", default="", help=f"of {', '.join(SETTINGS)}; default: all that are there")
    parser.add_argument("--kinds", default="", help="random, mislabelled, class, subject, stream; default: all")
    parser.add_argument("--methods", default="", help="catalogue names; default: all")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--models", type=int, default=0, help="originals of a cell; default: the scene's")
    parser.add_argument("--defaults", action="store_true", help="published hyper-parameters, without tuning")
    parser.add_argument("--page", action="store_true", help="only make the page of what is there")
    parser.add_argument("--speed", nargs="?", const="probe,overheads", help="measure the loop against plain ones")
    given = parser.parse_args()
    if given.speed:
        speed.main(given.speed)
    if not given.page and not given.speed:
        for cell in cells(given):
            suite.run(cell, given.methods.split(",") if given.methods else None, not given.defaults)
    rows = suite.gather()
    if rows["rows"]:
        suite.RESULTS.write_text(json.dumps(rows, indent=1, sort_keys=True) + "\n")
    table.main()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
