"""Run ours and the peers on every scene, one process each, in turn; resumable: ``python -m benchmarks.exact.suite``.

A run that is finished is not run again; the results of all finished runs are collected into results/exact.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.exact import data

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "exact.json"
PEERS = Path(os.environ.get("EXPUNGE_PEER_ENVIRONMENTS", data.CACHE / "peers"))
LIMIT_S = 3600
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "NUMEXPR_NUM_THREADS")
HERE_INSTALLED = {"sklearn": "sklearn", "lightgbm": "lightgbm", "xgboost": "xgboost"}
"""Peers that may live in this environment, where they have none of their own: folder → module."""

BUILT_INTO = {"dynfrs": "harness", "hedgecut": "harness"}
"""Peers that are a program, called by a runner of this environment."""

SHARES = "1%,2%,5%,10%"
FORESTS = (
    "forest",
    "forest, 30 trees a row",
    "forest, all rows in all trees, depth 10",
    "forest, all rows in all trees, depth 20",
)
SHARDS = ("LightGBM in 8 shards", "XGBoost in 8 shards")
NETWORKS = ("network", "network in 10 shards", "network in 10 shards of 5 slices")


@dataclass(frozen=True)
class Job:
    """One runner on one scene."""

    scene: str
    peer: str
    variant: str
    singles: int = 200
    batches: str = "100,1000,10%"
    repeats: int = 3
    series: str = "peers"

    def name(self, rep: int) -> str:
        words = f"{self.scene}__{self.peer}__{self.variant}__{self.series}__{rep}"
        return "".join(c if c.isalnum() or c in "_.@-" else "-" for c in words)


def jobs() -> Iterator[Job]:
    """Yield the plan, in the order in which each repetition walks it."""
    second = "cardio" if Path(data.SOURCES, "hedgecut", "datasets", "cardio.csv").exists() else "bank"
    for scene in ("adult", second, "synth100k"):
        for variant in FORESTS:
            plain = variant == "forest"  # where a range moves the forest is fitted again: seldom, so many are needed
            yield Job(scene, "ours", variant, singles=1000 if plain else 200, repeats=5 if plain else 3)
        yield Job(scene, "ours", "boosting", repeats=5)
        yield Job(scene, "lightgbm", "boosting")
        yield Job(scene, "xgboost", "boosting")
        yield Job(scene, "hessboost", "boosting")
        yield Job(scene, "lightgbm", "forest")
        yield Job(scene, "sklearn", "forest depth 10")
        yield Job(scene, "sklearn", "forest depth 20, a tenth of the rows a tree")
        yield Job(scene, "sklearn", "hist boosting")
        yield Job(scene, "dare_rf", "depth 10, k 25", singles=60)
        yield Job(scene, "dare_rf", "depth 20, k 25", singles=20, repeats=1)
        yield Job(scene, "dynfrs", "eager", singles=1000)
        yield Job(scene, "dynfrs", "lazy", singles=1000)
        if scene == "cardio":  # elsewhere (one-hot, forty continuous columns) its spare variants fill the memory
            yield Job(scene, "hedgecut", "100 trees")
        if scene == "synth100k":
            yield Job(scene, "ours", "forest, lazy repair", singles=10_000, batches="100")
            for shards in SHARDS:
                yield Job(scene, "ours", shards, singles=20, batches="10%")
            for network in NETWORKS:
                yield Job(scene, "ours", network, singles=5, batches="100", repeats=1)
        yield Job(scene, "hessboost", "online exact", singles=3)
        yield Job(scene, "hessboost", "online approximate", singles=10)
    yield from _curve()
    for scene, variant in (("gram", "ridge head"), ("logit", "logistic head"), ("ease", "ease")):
        yield Job(scene, "ours", variant, singles=50)
    yield Job("value", "ours", "forest", singles=60, repeats=1)
    yield Job("value", "ours", "boosting", singles=60, repeats=1)
    yield Job("value", "dare_rf", "", singles=60, repeats=1)
    yield Job("law", "ours", "forest", singles=1000)
    yield Job("law", "dare_rf", "", singles=6000)
    yield Job("law", "dynfrs", "", singles=40_000)
    yield Job("synth100k", "ours", "grid", singles=3000, repeats=1)
    yield Job("synth100k", "ours", "crafted", singles=2000)


def _curve() -> Iterator[Job]:
    """Yield the points of the scaling curve: rows from ten thousand to ten million, batches from 1 to 10 %."""
    for scene, singles in (("synth10k", 200), ("synth1m", 50)):
        for variant in ("forest", "boosting"):
            yield Job(scene, "ours", variant, singles=singles, batches=SHARES, series="curve")
        for peer in ("lightgbm", "xgboost", "hessboost"):
            yield Job(scene, peer, "boosting", series="curve")
    yield Job("synth10m", "ours", "forest", singles=50, batches=SHARES, repeats=1, series="curve")
    yield Job("synth10m", "ours", "boosting", singles=10, batches="1%,10%", repeats=1, series="curve")
    yield Job("synth10m", "lightgbm", "boosting", repeats=1, series="curve")
    for variant in ("forest", "boosting"):
        yield Job("synth100k", "ours", variant, singles=20, batches=SHARES, series="curve")
    yield Job("synth10k", "dare_rf", "depth 10, k 25", singles=60, series="curve")
    yield Job("synth10k", "dynfrs", "eager", series="curve")


class LeftOut(Exception):
    """A run that cannot be, with the reason."""


def command(job: Job, path: str, rep: int, scale: float) -> tuple[list[str], dict[str, str]]:
    """Return what to run and its environment.

    Raises:
        LeftOut: the peer is not installed or not built.
    """
    environment = {**os.environ, **dict.fromkeys(THREADS, "1"), "PYTHONPATH": str(HERE)}
    options = ["--variant", job.variant, "--seed", str(rep), "--singles", str(job.singles), "--batches", job.batches]
    if job.peer == "ours":
        environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "src")])
        return [sys.executable, "-m", "benchmarks.exact.ours", path, *options, "--scale", str(scale)], environment
    runner = str(HERE / "peers" / job.peer / "run.py")
    home = PEERS / job.peer
    if not (home / ".ready").exists():
        if _importable(HERE_INSTALLED.get(job.peer, "")):
            return [sys.executable, runner, path, *options], environment
        raise LeftOut(f"{job.peer} is not built: its setup.sh did not finish, or was not run")
    environment["EXPUNGE_PEER_HOME"] = str(home)
    python = sys.executable if job.peer in BUILT_INTO else str(home / "bin" / "python")
    return [python, runner, path, *options], environment


def _importable(module: str) -> bool:
    from importlib.util import find_spec

    return bool(module) and find_spec(module) is not None


def run(job: Job, rep: int, scale: float, folder: Path) -> str:
    """Run a job unless it is done; return what became of it, in one word or sentence."""
    out = folder / f"{job.name(rep)}.jsonl"
    if out.exists():
        return "done before"
    try:
        own = job.scene in ("gram", "logit", "ease")
        path = job.scene if own else str(data.scene(job.scene, scale if "synth" in job.scene else 1.0))
        words, environment = command(job, path, rep, scale)
    except (FileNotFoundError, LeftOut) as error:
        out.write_text(json.dumps({**_about(job, rep), "step": "left out", "why": str(error)}) + "\n")
        return f"left out: {error}"
    began, part = time.time(), out.with_suffix(".part")
    with part.open("w") as file:
        try:
            code = subprocess.run(
                words, env=environment, cwd=ROOT, stdout=file, stderr=subprocess.PIPE, timeout=LIMIT_S, check=False
            )
            why = (
                code.stderr.decode(errors="replace").strip().splitlines()[-1:] if code.returncode not in (0, 3) else []
            )
        except subprocess.TimeoutExpired:
            why = [f"took longer than {LIMIT_S} s"]
    if why:
        with part.open("a") as file:
            file.write(json.dumps({**_about(job, rep), "step": "failed", "why": why[0][:300]}) + "\n")
    part.rename(out)
    return f"{'failed: ' + why[0] if why else 'done'} ({time.time() - began:.0f} s)"


def _about(job: Job, rep: int) -> dict[str, Any]:
    return {"peer": job.peer, "variant": job.variant, "scene": job.scene, "seed": rep}


def collect(folder: Path, scale: float) -> dict[str, Any]:
    """Return every finished run as one record: what it is about, and its steps by name."""
    runs = []
    for path in sorted(folder.glob("*.jsonl")):
        lines = [json.loads(line) for line in path.read_text().splitlines() if line.startswith("{")]
        if lines:
            runs.append(_record(lines, path))
    return {
        "suite": "exact",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": platform.machine(),
        "processor": _processor(),
        "python": platform.python_version(),
        "scale": scale,
        "runs": runs,
    }


def _record(lines: list[dict[str, Any]], path: Path) -> dict[str, Any]:
    about = {k: v for k, v in lines[0].items() if k in ABOUT}
    scene, folder, variant, series, rep = path.stem.split("__")
    about = {"peer": folder, "variant": variant, "seed": int(rep), **about}
    about |= {"scene": scene, "folder": folder, "series": series}
    told: dict[str, Any] = {}
    for line in lines:
        figures = {k: v for k, v in line.items() if k not in ABOUT and k != "step"}
        if line["step"] == "law":
            told.setdefault("law", []).append(_law(figures))
        else:
            told[line["step"]] = figures
    return {**about, "steps": told}


ABOUT = ("peer", "version", "variant", "scene", "n", "d", "seed", "params", "python")


def _law(figures: dict[str, Any]) -> dict[str, Any]:
    """Return the comparison of two counted samples of signatures."""
    from expunge.audit.law import compare_laws

    if "failed" in figures:
        return figures
    sides = [[s for s, count in figures[side].items() for _ in range(count)] for side in ("forgotten", "scratch")]
    for side in sides:
        _shuffle(side)
    found = compare_laws(*sides)
    return {
        "config": figures["config"],
        "n": found.n,
        "chi2": found.chi2,
        "df": found.df,
        "p_value": found.p_value,
        "total_variation": found.total_variation,
        "by_chance": found.by_chance,
        "distance": [found.distance.value, found.distance.low, found.distance.high],
    }


def _shuffle(side: list[str]) -> None:
    """Undo the grouping by signature: halves of the sample choose and measure an event."""
    import random

    random.Random(0).shuffle(side)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the rows, to try things out")
    parser.add_argument("--repeats", type=int, default=5, help="repetitions at most")
    parser.add_argument("--scenes", default="", help="only these, separated by commas")
    parser.add_argument("--peers", default="", help="only these folders of peers, and `ours`")
    parser.add_argument("--again", action="store_true", help="run again what was left out or failed")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    folder = data.CACHE / ("runs" if args.scale == 1.0 else f"runs@{args.scale:g}")
    folder.mkdir(parents=True, exist_ok=True)
    scenes, peers = (set(filter(None, text.split(","))) for text in (args.scenes, args.peers))
    plan = [j for j in jobs() if (not scenes or j.scene in scenes) and (not peers or j.peer in peers)]
    if args.again:
        _forget_failures(folder)
    for rep in range(args.repeats):
        for job in plan:
            if rep < job.repeats:
                print(f"{job.scene:10} {job.peer:10} {job.variant:45} {rep}: ", end="", flush=True)
                print(run(job, rep, args.scale, folder), flush=True)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(collect(folder, args.scale), indent=1) + "\n")
    print(f"wrote {args.out}")
    return 0


def _forget_failures(folder: Path) -> None:
    for path in folder.glob("*.jsonl"):
        last = path.read_text().splitlines()[-1:]
        if not last or json.loads(last[0])["step"] != "done":
            path.unlink()


if __name__ == "__main__":
    raise SystemExit(main())
