"""What the commands that only read ask of a store: ids, reports, the log, predictions, seals."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from expunge.core import frames
from expunge.core.canonical import read_json
from expunge.core.columns import Column
from expunge.core.dataset import Dataset
from expunge.core.errors import BadInput, EvidenceError, MalformedEvidence, MissingColumn, StoreExists, UnknownName
from expunge.core.files import write_durably
from expunge.core.models import class_labels
from expunge.core.request import Id
from expunge.core.roles import Predicts
from expunge.service.keyring import PRIVATE
from expunge.service.pages import certificate
from expunge.service.publishing import Done, done
from expunge.service.store import Store
from expunge.service.tables import read_ids
from expunge.trust.leaf import read_leaf
from expunge.trust.log import FileLog
from expunge.trust.proof import Proof
from expunge.trust.receipt import Receipt

if TYPE_CHECKING:
    import pandas as pd

MAX_RECEIPT_BYTES = 1 << 24
ANSWERS = "Clusters, recommendations and nearest vectors are asked for in Python; see the how-to Use the library."
Table = tuple[list[str], list[list[Any]], tuple[str, ...]]


def ids_in(root: Path, path: Path) -> tuple[Id, ...]:
    """Return the record ids in a file, as numbers where the store's ids are numbers.

    Raises:
        BadData, UnknownRecord: see `read_ids`.
    """
    with Store.open(root) as store:
        return read_ids(path, store.deployment().data)


def headline(found: Done) -> dict[str, Any]:
    """Return the few facts of a finished request that everybody wants first."""
    report, until = found.facts, found.kept_until
    evidence = {e.name: e for e in report.evidence}
    equal = evidence.get("likeness.equal@after")
    return {
        "ref": found.ref,
        "outcome": certificate(found.receipt.read_bytes()).outcome,
        "n_forgotten": report.trained.n_forgotten,
        "n_set_aside": report.trained.n_set_aside,
        "method": report.done.method,
        "why": report.done.why,
        "seconds": None if report.done.cost is None else report.done.cost.seconds,
        "retraining_s": report.done.reference_s,
        "guarantee": report.guarantee.kind,
        "before": report.digests.before,
        "after": report.digests.after,
        "equals_retrained": None if equal is None or equal.status != "measured" else equal.value == 1.0,
        "kept_until": None if until is None else day(until),
        "receipt": str(found.receipt),
        "report": str(found.report),
    }


def day(seconds: float) -> str:
    """Return a time as UTC text."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def waiting(root: Path) -> str | None:
    """Return the reference of the request that was interrupted and waits to be finished, if there is one."""
    with Store.open(root) as store:
        case = store.database.unfinished()
        return None if case is None else case.ref


def report_of(root: Path, ref: str | None = None) -> Done:
    """Return what a finished request left; default: the last one.

    Raises:
        UnknownName: there is no such request, or none yet.
        StoreDamaged: its report is missing.
    """
    with Store.open(root) as store:
        finished = [case for case in store.database.cases() if case.verdict == "done" and ref in (None, case.ref)]
        if not finished:
            what = "no request was finished here yet" if ref is None else f"no finished request has the reference {ref}"
            raise UnknownName(what, hint="`expunge log STORE --entries` lists the references.")
        return done(store, finished[-1].ref, finished[-1].keep_until)


def log_of(root: Path, *, check: bool = False, since: Path | None = None) -> dict[str, Any]:
    """Return a store's log as JSON-able data, after the checks asked for.

    Args:
        root: the store.
        check: recompute everything, and hold it against the checkpoint of every receipt.
        since: an earlier checkpoint, or a receipt, that the log must continue.

    Raises:
        LogRewritten: it does not continue what it was.
        StoreDamaged, SignatureInvalid: it cannot be read.
    """
    with Store.open(root) as store:
        log = store.log()
        notes = [_note(since)] if since is not None else []
        if check:
            log.check()
            store.check_length(log)
            notes += [_note(path) for path in sorted(store.layout.receipts.glob("*.json"))]
        for note in notes:
            log.extends(note)
        return {
            "origin": log.origin,
            "size": log.size,
            "root": log.root.hex(),
            "checkpoint": log.checkpoint(),
            "checked_against": len(notes),
            "entries": _entries(log),
        }


def _note(path: Path) -> str:
    """Return the checkpoint in a file: a note, a receipt, or what ``expunge log --json`` printed."""
    data = path.read_bytes()
    if not data.lstrip().startswith(b"{"):
        return data.decode("utf-8", "replace")
    value = read_json(data, MAX_RECEIPT_BYTES)
    if "checkpoint" in value:
        return str(value["checkpoint"])
    return Proof.parse(Receipt.from_json(value).proof).note


def _entries(log: FileLog) -> list[dict[str, Any]]:
    found = []
    for index, entry in enumerate(log.entries()):
        try:
            leaf = read_leaf(entry)
        except EvidenceError as error:
            raise MalformedEvidence(f"entry {index} of the log is not a leaf") from error
        found.append({"index": index, "type": leaf.type, "ref": leaf.ref, "seq": leaf.seq, "time": day(leaf.t)})
    return found


def seals_of(root: Path) -> list[dict[str, Any]]:
    """Return the versions that are kept sealed."""
    with Store.open(root) as store:
        return [
            {
                "version": version.number,
                "state": version.state,
                "digest": version.digest,
                "kept_until": None if version.keep_until is None else day(version.keep_until),
            }
            for version in store.database.versions("sealed")
        ]


def open_seal(root: Path, version: int, out: Path) -> int:
    """Decrypt a sealed version into a new folder outside the store, for an appeal; return how many objects it has.

    Raises:
        UnknownName: no such version is sealed.
        StoreExists: the folder is there already, or would lie in the store.
        KeyUnsafe, StoreDamaged: it cannot be decrypted.
    """
    if out.exists() or root.resolve() in out.resolve().parents:
        raise StoreExists(f"{out} is there already, or lies in the store", hint="Name a new folder outside the store.")
    with Store.open(root) as store:
        if version not in {v.number for v in store.database.versions("sealed") if v.keep_until is not None}:
            raise UnknownName(f"no version {version} is kept sealed", hint="`expunge seals STORE` lists them.")
        parts, objects = store.seals.unseal(version)
    (out / "objects").mkdir(mode=0o700, parents=True)
    for name, body in objects.items():
        write_durably(out / "objects" / name, body, PRIVATE)
    write_durably(out / "parts.json", parts, PRIVATE)
    return len(objects)


def predictions(root: Path, frame: pd.DataFrame) -> Table:
    """Return header, rows and notes: the id, the prediction, and the probability of each class.

    The notes say which columns are empty, and which categories the training data do not hold.

    Raises:
        MissingColumn: the table lacks a column that the model was trained on.
        BadInput: the model gives other answers than predictions.
    """
    with Store.open(root) as store:
        settings, deployment = store.settings, store.deployment()
    data = _questions(frame, deployment.data, settings.ids)
    ids = data.ids.tolist()
    if not isinstance(deployment.model, Predicts):
        raise BadInput(f"the learner {settings.learner!r} predicts neither classes nor numbers", hint=ANSWERS)
    logits = deployment.model.logits(data)
    if data.target is not None and deployment.data.target is not None and deployment.data.target.kind == "number":
        return ["id", "prediction"], [[i, float(v)] for i, v in zip(ids, np.ravel(logits), strict=True)], data.notes
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares = odds / odds.sum(axis=1, keepdims=True)
    labels = class_labels(deployment.data)
    best = shares.argmax(axis=1)
    rows = [[i, labels[b], *map(float, s)] for i, b, s in zip(ids, best, shares, strict=True)]
    return ["id", "prediction", *(f"p({label})" for label in labels)], rows, data.notes


def _questions(frame: pd.DataFrame, trained: Dataset, ids: str | None) -> Dataset:
    """Read a table under the schema of the training data; its target and owners do not matter."""
    lost = [name for name in trained.columns if name not in frame.columns]
    if lost:
        listed = ", ".join(lost[:10]) + (f" and {len(lost) - 10} more" if len(lost) > 10 else "")
        hint = frames.other_separator(frame.columns) or "Add the columns; their cells may be empty."
        raise MissingColumn(f"the table lacks {listed}, which the model was trained on", hint=hint, columns=lost)
    ids = ids if ids is not None and ids in frame.columns else None
    frame = frame[[*trained.columns, *([ids] if ids else [])]]
    kinds = {name: column.kind for name, column in trained.columns.items()}
    read = Dataset.from_frame(frame, ids=ids, kinds=kinds)
    columns = {name: read.columns.get(name) or _empty(column, len(read)) for name, column in trained.columns.items()}
    target = trained.target and Column(trained.target.kind, np.zeros(len(read), trained.target.values.dtype), ("?",))
    return Dataset(
        columns=columns,
        ids=read.ids,
        subjects=read.subjects,
        target=target,
        target_name=trained.target_name,
        classes=trained.classes,
        notes=tuple(_strange(trained, read)),
    )


def _strange(trained: Dataset, read: Dataset) -> Iterator[str]:
    """Yield what is unlike the training data: columns without a value, categories that were never seen."""
    yield from (note for note in read.notes if not note.startswith("Column "))
    for name, known in trained.columns.items():
        if name not in read.columns:
            yield f"Column {name!r}: has no value at all; every row counts as missing there."
            continue
        column, words = read.columns[name], set(known.vocabulary)
        new = [j for j, word in enumerate(column.vocabulary) if word not in words]
        if known.kind == "category" and new:
            listed = ", ".join(repr(column.vocabulary[j]) for j in new[:3]) + (" …" if len(new) > 3 else "")
            what = "1 category was" if len(new) == 1 else f"{len(new)} categories were"
            rows = int(np.isin(column.values, new).sum())
            yield f"Column {name!r}: {what} never seen in training, in {rows} of {len(read)} rows: {listed}."


def _empty(column: Column, n: int) -> Column:
    """Return a column of n missing values."""
    if column.values.dtype.kind == "f":
        return Column(column.kind, np.full(n, np.nan))
    return Column(column.kind, np.full(n, -1, np.int32))
