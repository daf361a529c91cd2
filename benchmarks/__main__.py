"""Run every suite (or those named): python -m benchmarks [forest planner audit …]."""

import sys

from benchmarks import audit, forest, planner, table

SUITES = {"forest": forest.main, "planner": planner.main, "audit": audit.main}


def main() -> int:
    wanted = sys.argv[1:] or list(SUITES)
    unknown = [name for name in wanted if name not in SUITES]
    if unknown:
        print(f"no suite called {unknown[0]}; there are: {', '.join(SUITES)}", file=sys.stderr)
        return 2
    for name in wanted:
        SUITES[name]()
    table.main()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
