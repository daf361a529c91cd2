"""Run as a program: stop `forget` at every failpoint in a child process, then look, resume, and look again.

``crash.py BASE WORK HOW`` (HOW: kill, interrupt or full) prints one JSON object a failpoint.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from expunge.core.errors import ExpungeError
from expunge.service import publishing
from expunge.service.failpoints import FAILPOINTS, VARIABLE
from expunge.service.forgetting import forget, resume
from expunge.service.reading import log_of
from expunge.service.store import Store
from expunge.service.versions import Parts
from expunge.trust.verify import verify
from service.world import PERSON, plant_tally, traces, wish

POINTS = {"kill": FAILPOINTS, "interrupt": FAILPOINTS[::2], "full": FAILPOINTS[1::2]}


def child(work: Callable[[], Any], out: Path) -> int:
    """Run work in a forked child; return its exit code, negative for a signal. The result lies in ``out``."""
    number = os.fork()
    if number == 0:
        try:
            out.write_text(json.dumps(work()))
            os._exit(0)
        except ExpungeError as error:
            out.write_text(json.dumps({"error": error.code}))
            os._exit(error.exit_code)
        except BaseException:
            out.write_text(json.dumps({"error": traceback.format_exc()}))
            os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])


def stopped(root: Path, point: str, how: str) -> None:
    """Forget with a failpoint armed."""
    os.environ[VARIABLE] = point if how == "kill" else f"{point}:{how}"
    forget(root, wish(keep_days=1) if "seal" in point else wish())


def looked(root: Path) -> dict[str, Any]:
    """Look at the store after the stop: it opens, and answers with a whole model."""
    with Store.open(root) as store:
        deployment = store.deployment()
        case = store.database.unfinished()
        return {
            "state": None if case is None else case.state,
            "person": bool(deployment.data.owned_by(PERSON)),
            "whole": deployment.model.digest() == deployment.learner.fit(deployment.data, deployment.key).digest(),
        }


def finished(root: Path) -> dict[str, Any]:
    """Resume, or ask again where nothing was asked, and look whether it was done exactly once."""
    done = resume(root)
    if done is None:
        with Store.open(root) as store:
            asked = bool(store.database.cases())
        if not asked:
            done = forget(root, wish())
    log = log_of(root, check=True)
    with Store.open(root) as store:
        deployment = store.deployment()
        needed = Parts.of(store.database.active()).names()
        case = store.database.unfinished()
    (receipt,) = (root / "receipts").iterdir()
    verify(receipt.read_bytes(), (root / "trust.json").read_bytes())
    return {
        "traces": traces(root),
        "log": [e["type"] for e in log["entries"]],
        "reports": len(list((root / "reports").iterdir())),
        "objects": {p.name for p in (root / "objects").iterdir()} == needed,
        "left": [str(p) for p in root.rglob("*.tmp")],
        "unfinished": case is not None,
        "person": bool(deployment.data.owned_by(PERSON)),
        "whole": deployment.model.digest() == deployment.learner.fit(deployment.data, deployment.key).digest(),
        "again": resume(root) is None,
    }


def main(base: Path, work: Path, how: str) -> None:
    """Try every failpoint."""
    plant_tally()
    publishing.render_html = lambda report: "<html>"  # figures are another test's matter
    for point in POINTS[how]:
        root, out = work / f"{point}-{how}", work / "out.json"
        shutil.copytree(base, root)
        code = child(lambda: stopped(root, point, how), out)  # noqa: B023
        told = json.loads(out.read_text()) if out.exists() and code >= 0 else None
        seen, end = [], 0
        for step in (looked, finished):
            end = child(lambda: step(root), out)  # noqa: B023
            seen.append(json.loads(out.read_text()))
        sys.stdout.write(json.dumps({"point": point, "code": code, "told": told, "end": end, "seen": seen}) + "\n")
        shutil.rmtree(root)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
