"""Build the peers that need an environment or a compiler of their own: ``python -m benchmarks.exact.build [NAME …]``.

Their sources come from the folder EXPUNGE_PEER_SOURCES (one folder a peer: dare_rf, dynfrs, hedgecut) or from the
package registry; nothing of them is in this repository. A peer that cannot be built is left out of the tables.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.exact.suite import HERE, PEERS

LAST_LINES = 3


def build(script: Path) -> str:
    """Run one recipe unless it has been; return what became of it."""
    home = PEERS / script.parent.name
    if (home / ".ready").exists():
        return f"ready, version {(home / '.ready').read_text().strip()}"
    home.parent.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["bash", str(script), str(home)], capture_output=True, text=True, check=False)
    if done.returncode == 0 and (home / ".ready").exists():
        return f"built, version {(home / '.ready').read_text().strip()}"
    return "not built: " + " | ".join((done.stderr or done.stdout).strip().splitlines()[-LAST_LINES:])


def main() -> int:
    wanted = set(sys.argv[1:])
    for script in sorted((HERE / "peers").glob("*/setup.sh")):
        if not wanted or script.parent.name in wanted:
            print(f"{script.parent.name:12} {build(script)}", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
