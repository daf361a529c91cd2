"""Sample keys, statements, logs and receipts that the trust tests build on."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from expunge.core.canonical import canonical_json, sha256
from expunge.trust.circumstances import NO_REGIME_DIGEST
from expunge.trust.claims import honest
from expunge.trust.keys import SigningKey
from expunge.trust.log import FileLog
from expunge.trust.predicate import Denial, Unlearning
from expunge.trust.quorum import parse_policy, policy_text
from expunge.trust.receipt import Prepared, complete, prepare
from expunge.trust.statement import statement
from expunge.trust.trustroot import trust_root

LOG = SigningKey.from_secret("log.example/expunge", bytes([1]) * 32)
WITNESS = SigningKey.from_secret("witness.example/w1", bytes([2]) * 32, kind="cosigner")
ISSUER = SigningKey.from_secret("issuer.example/i1", bytes([3]) * 32)
REF = "aaaqeayeaudaocajbifqydiob4"
T = 1700000000


def hex32(text: str) -> str:
    return sha256(text.encode()).hex()


def evidence(**changes: Any) -> dict[str, Any]:
    row = {
        "name": "membership.loss_auc@after", "estimator": "auc", "value": 0.5, "low": 0.45, "high": 0.55, "n": 200,
        "threshold": 0.6, "direction": "lower", "passed": True, "seeds": ["7"], "unit": "records", "status": "measured",
    }  # fmt: skip
    return row | changes


UNLEARNING: dict[str, Any] = {
    "stage": "attested",
    "outcome": "complete",
    "reasons": [],
    "request": {
        "ref": REF, "commitment": hex32("request"), "received_at": "2026-01-01T00:00:00Z",
        "decided_at": "2026-01-01T00:00:01Z", "completed_at": "2026-01-01T00:00:02Z", "regime": "none",
        "regime_digest": NO_REGIME_DIGEST, "pauses": [], "verified_how": "owner-asserted",
    },
    "scope": {
        "granularity": "record", "s_root": hex32("s"), "n_forgotten": 3,
        "models": [{"id": "credit", "before": hex32("before"), "after": hex32("after")}],
        "stores": [], "not_covered": ["serving", "propagation"], "gaps": [{"what": "backups", "why": "not known"}],
    },
    "guarantee": {"kind": "exact", "grade": "bits", "assumptions": ["the learner is exact"], "covers": ["model"]},
    "method": {
        "run": REF, "name": "forest", "repr": "ForestUnlearner()", "parameters": {"n_trees": 10},
        "code_digest": hex32("code"), "environment_digest": hex32("environment"), "seeds": {"init": "7"},
        "deterministic": True, "device": "cpu", "n_threads": 1, "attempt": 1, "tried": [],
    },
    "data": {
        "dataset": REF, "version": 2, "encoding": "row/v1", "d_before": hex32("d0"), "d_after": hex32("d1"),
        "u_before": hex32("u0"), "u_after": hex32("u1"), "loader": "own", "absence_digests": [],
    },
    "claim": {"level": "L0", "non_claims": []},
    "evaluation": {
        "policy_digest": hex32("policy"), "reference": "none", "evidence": [evidence()],
        "attack_families": {"tested": ["membership"], "missing": ["reconstruction-by-difference"]},
        "utility": {"overall": {"before": 0.9, "after": 0.89, "delta": -0.01, "low": -0.02, "high": 0.0}},
    },
    "security": {"rulings": [{"screen": "quota", "verdict": "accept", "reasons": []}]},
    "serving": [],
    "propagation": [],
    "validity": {"as_of": "2026-01-01T00:00:03Z", "revocation": "the same log, type REVOKE"},
    "issuer": {"key": ISSUER.vkey, "role": "issuer"},
    "log": {"origin": LOG.name, "policy_digest": parse_policy(policy_text(LOG.vkey).encode()).digest},
}  # fmt: skip

DENIAL: dict[str, Any] = {
    "request": {k: v for k, v in UNLEARNING["request"].items() if k not in ("completed_at", "pauses")},
    "grounds": ["suspected_fraud"],
    "reasons": ["the records belong to somebody else"],
    "remedies": ["ask the owner"],
    "security": UNLEARNING["security"],
    "validity": UNLEARNING["validity"],
    "issuer": UNLEARNING["issuer"],
    "log": UNLEARNING["log"],
}

REPLAYED: dict[str, Any] = {
    "method.beacon": hex32("beacon"),
    "data.loader": "committed-order",
    "claim.replay": {"r": 1.0, "n_runs": 1, "n_replayed": 1, "power": 1.0},
}


def changed(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return a deep copy with ``{"scope.models": …}``-like changes."""
    out = copy.deepcopy(base)
    for path, value in changes.items():
        place, *rest = out, *path.split(".")
        for step in rest[:-1]:
            place = place[step]
        place[rest[-1]] = value
    return out


def unlearning(**changes: Any) -> Unlearning:
    """Return a sample certificate; double underscores in names stand for dots."""
    dotted = {k.replace("__", "."): v for k, v in changes.items()}
    return honest(Unlearning.from_json(changed(UNLEARNING, dotted)))


def denial(**changes: Any) -> Denial:
    return Denial.from_json(changed(DENIAL, {k.replace("__", "."): v for k, v in changes.items()}))


def new_log(folder: Path) -> FileLog:
    """Return a log with two strangers' entries."""
    log = FileLog(folder / "log", LOG)
    for text in (b"leaf-0", b"leaf-1"):
        log.ensure(text)
    return log


def prepared(predicate: Unlearning | Denial, **options: Any) -> Prepared:
    return prepare(statement(predicate), ISSUER, REF, 0, T, **options)


def receipt(folder: Path, predicate: Unlearning | Denial, **options: Any) -> bytes:
    """Return a receipt in a fresh log of four entries; it is the third."""
    log = new_log(folder)
    ready = prepared(predicate, **options)
    complete(ready, log)
    log.append(b"leaf-3")
    return complete(ready, log)


def trust(**changes: Any) -> bytes:
    """Return the bytes of the trust root of the sample log and issuer, with changes."""
    root = trust_root(LOG.vkey, ISSUER.vkey)
    return canonical_json(root.as_json() | changes)
