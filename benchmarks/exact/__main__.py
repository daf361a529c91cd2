"""Run the suite (what is done already is kept), measure the floors, and write the pages: python -m benchmarks.exact."""

from benchmarks import table as reference
from benchmarks.exact import curves, floors, suite, table


def main() -> int:
    code = suite.main()
    floors.main()
    curves.main()
    table.main()
    reference.main()
    return code


if __name__ == "__main__":
    raise SystemExit(main())
