"""The bundle: what an outsider needs to audit models that it does not hold, in a folder of numbers and names.

==================  ======================================================================================
file                content
==================  ======================================================================================
``bundle.json``     `Description`: the records, the models in the order of the arrays, digests, claims
``labels.npy``      (n,) whole numbers: the true class of each record
``roles.npy``       (M, n) uint8: 0 never, 1 kept, 2 forgotten, 3 population
``SIGNAL.npz``      one array called SIGNAL: ``logits`` or ``log_probs`` (M, n, k), ``phi`` or ``top1`` (M, n)
==================  ======================================================================================

Models of all worlds stand in the same arrays, one row each; `Model` says which world, pair and seed a row has.

Source: spec section 9.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np
import numpy.typing as npt
from pydantic import Field

from expunge.audit import npy
from expunge.audit.npy import Wanted
from expunge.audit.pools import POPULATION, Pool, Pools, World
from expunge.audit.signals import LARGEST
from expunge.audit.store import pack
from expunge.core import files
from expunge.core.canonical import read_json, sha256
from expunge.core.errors import BadData, BadInput, MalformedEvidence
from expunge.core.guarantee import Grade, Guarantee, GuaranteeKind
from expunge.core.record import Record

Signal = Literal["logits", "log_probs", "phi", "top1"]
SIGNALS: Final[tuple[Signal, ...]] = get_args(Signal)
DESCRIPTION: Final = "bundle.json"
LABELS: Final = "labels.npy"
ROLES: Final = "roles.npy"
MAX_DESCRIPTION: Final = 1 << 26
ADVICE: Final = "Nothing was measured: ask whoever wrote the bundle for one in the layout of the manual, whole."
LIMIT_BYTES: Final = 1 << 32
"""No array of a bundle is larger, unless the reader allows it."""
SLACK: Final = 0.01
"""How far above 0 a log-probability of float16 may be rounded."""


class Model(Record):
    """One row of the arrays.

    Attributes:
        world: before, after, reference, or other.
        pair: rows of different worlds with the same number have the same rows of roles.
        seed: of the model.
        control: of a model of the world ``other``: which control it belongs to (``no-op``, ``retrain 2`` ...).
    """

    world: World
    pair: int = Field(ge=0, lt=2**31)
    seed: str = Field(default="", max_length=256)
    control: str | None = Field(default=None, min_length=1, max_length=256)


class Description(Record):
    """What ``bundle.json`` holds.

    Attributes:
        format: the version of this layout.
        n_classes: k.
        signal: what the models say; the file of that name holds it.
        ids: pseudonyms of the records, all different.
        models: rows of the arrays, in order.
        files: name → hex SHA-256, of every other file.
        subgroups: name → places of its records.
        claim: the kind of guarantee that the provider claims.
        grade: of an exact claim; ``law`` where none is given.
        epsilon: of a certified claim.
        delta: of a certified claim.
        notes: what else the provider says, one sentence each.
    """

    format: Literal["expunge/bundle/v1"] = "expunge/bundle/v1"
    n_classes: int = Field(ge=1, le=1_000_000)
    signal: Signal
    ids: tuple[str, ...] = Field(min_length=1)
    models: tuple[Model, ...] = Field(min_length=1)
    files: dict[str, str]
    subgroups: dict[str, tuple[int, ...]] = Field(default_factory=dict)
    claim: GuaranteeKind | None = None
    grade: Grade | None = None
    epsilon: float | None = Field(default=None, ge=0)
    delta: float | None = Field(default=None, ge=0, lt=1)
    notes: tuple[str, ...] = ()

    def guarantee(self) -> Guarantee:
        """Return the claim; without one, nothing but a measurement."""
        grade: Grade | None = (self.grade or "law") if self.claim == "exact" else None
        return Guarantee(kind=self.claim or "empirical", grade=grade, epsilon=self.epsilon, delta=self.delta)


@dataclass(frozen=True, eq=False)
class Bundle:
    """A bundle that was read.

    Attributes:
        described: its ``bundle.json``.
        pools: what its models say, for the battery.
        digest: hex SHA-256 of ``bundle.json``, hence of everything.
    """

    described: Description
    pools: Pools
    digest: str


def read(folder: Path, limit_bytes: int = LIMIT_BYTES) -> Bundle:
    """Read a stranger's bundle: no pickle, no size that was not bounded first, every file under its digest.

    Args:
        folder: where it lies.
        limit_bytes: no array may be larger.

    Raises:
        MalformedEvidence: for every malformation; never another exception.

    Cost: one pass over the files for their digests, one to read them; memory of the arrays.
    """
    try:
        return _read(folder, limit_bytes)
    except MalformedEvidence as error:
        if error.advice == error.hint:
            error.advice = ADVICE
        raise


def _read(folder: Path, limit_bytes: int) -> Bundle:
    path = folder / DESCRIPTION
    if npy.regular(path) > MAX_DESCRIPTION:
        raise MalformedEvidence(f"{DESCRIPTION} is too large")
    try:
        body = path.read_bytes()
    except OSError as error:
        raise MalformedEvidence(f"{DESCRIPTION} cannot be read") from error
    told = Description.from_json(read_json(body, MAX_DESCRIPTION))
    _check_described(told)
    for name in (LABELS, ROLES, f"{told.signal}.npz"):
        if npy.digest(folder / name) != told.files[name]:
            raise MalformedEvidence(f"{name} is not the file that {DESCRIPTION} describes")
    m, n = len(told.models), len(told.ids)
    truth = npy.read_array(folder / LABELS, Wanted("iu", (n,), limit_bytes))
    roles = npy.read_array(folder / ROLES, Wanted("u", (m, n), limit_bytes))
    shape = (m, n, told.n_classes) if told.signal in ("logits", "log_probs") else (m, n)
    kinds = "iu" if told.signal == "top1" else "f"
    said = npy.read_packed(folder / f"{told.signal}.npz", told.signal, Wanted(kinds, shape, limit_bytes))
    _check_numbers(told, truth, roles, said)
    try:
        pools = _pools(told, truth.astype(np.int64), np.ascontiguousarray(roles), said)
    except BadInput as error:
        raise MalformedEvidence(error.message) from error
    return Bundle(told, pools, sha256(body).hex())


def _check_described(told: Description) -> None:
    if len(set(told.ids)) != len(told.ids):
        raise MalformedEvidence("two records have the same id")
    if not set(told.files) == {LABELS, ROLES, f"{told.signal}.npz"}:
        raise MalformedEvidence(f"the files of a bundle are {LABELS}, {ROLES} and {told.signal}.npz, and no others")
    if told.n_classes == 1 and told.signal != "phi":
        raise MalformedEvidence(
            "with one class every answer is right, so nothing can be measured",
            hint="Hand over φ (phi.npz): for what has no classes, the negative loss of each record.",
        )
    _check_claim(told)
    rows = [(model.world, model.control, model.pair) for model in told.models]
    if len(set(rows)) != len(rows):
        raise MalformedEvidence("two models of one world have the same pair")
    if any(model.control is not None and model.world != "other" for model in told.models):
        raise MalformedEvidence("a control is of the world 'other'")
    n = len(told.ids)
    if any(not 0 <= place < n for places in told.subgroups.values() for place in places):
        raise MalformedEvidence("a subgroup names a record that is not there")


def _check_claim(told: Description) -> None:
    if (told.epsilon is None) != (told.claim != "certified"):
        raise MalformedEvidence("epsilon belongs to a certified claim, and only to it")
    if told.grade is not None and told.claim != "exact":
        raise MalformedEvidence("a grade belongs to an exact claim, and only to it")


def _check_numbers(told: Description, truth: npt.NDArray[Any], roles: npt.NDArray[Any], said: npt.NDArray[Any]) -> None:
    k = told.n_classes
    if truth.min() < 0 or truth.max() >= k:
        raise MalformedEvidence(f"{LABELS} holds a class outside 0 to {k - 1}")
    if roles.dtype != np.uint8 or roles.max() > POPULATION:
        raise MalformedEvidence(f"{ROLES} holds bytes from 0 (never) to {POPULATION} (population), and nothing else")
    if told.signal == "top1" and (said.min() < 0 or said.max() >= k):
        raise MalformedEvidence(f"top1.npz holds a class outside 0 to {k - 1}")
    highest = SLACK if told.signal == "log_probs" else LARGEST
    for row in said if told.signal != "top1" else ():
        if not (row.min() >= -LARGEST and row.max() <= highest):  # NaN is neither
            raise MalformedEvidence(
                f"{told.signal}.npz holds NaN, or a number outside {-LARGEST:,.0f} to {highest:,g}",
                hint=f"Cut what is beyond {LARGEST:,.0f}, and leave out records without a prediction.",
            )
    first: dict[int, int] = {}
    for row_number, model in enumerate(told.models):
        if not np.array_equal(roles[first.setdefault(model.pair, row_number)], roles[row_number]):
            raise MalformedEvidence(f"the models of pair {model.pair} have different rows of roles")


def _pools(told: Description, truth: npt.NDArray[Any], roles: npt.NDArray[Any], said: npt.NDArray[Any]) -> Pools:
    where: dict[tuple[World, str | None], list[int]] = {}
    for row, model in enumerate(told.models):
        where.setdefault((model.world, model.control), []).append(row)
    field = {"phi": "given", "top1": "top"}.get(told.signal, "logits")
    values: npt.NDArray[Any] = said.astype(np.int64) if told.signal == "top1" else said

    def pool(world: World, at: list[int]) -> Pool:
        rows = slice(at[0], at[-1] + 1) if at[-1] - at[0] + 1 == len(at) else np.array(at)  # a slice copies nothing
        pairs = np.array([told.models[i].pair for i in at], np.int64)
        seeds = tuple(told.models[i].seed for i in at)
        content: dict[str, Any] = {field: values[rows]}
        return Pool(world, roles[rows], truth, pairs, seeds, **content)

    masks = {name: np.isin(np.arange(len(truth)), places) for name, places in told.subgroups.items()}
    return Pools(
        ids=told.ids,
        truth=truth,
        n_classes=told.n_classes,
        pools=tuple(pool(world, at) for (world, control), at in where.items() if control is None),
        subgroups=masks,
        controls={control: pool(world, at) for (world, control), at in where.items() if control is not None},
    )


def write(folder: Path, pools: Pools, **said: Any) -> str:
    """Write a bundle; what `read` gives back holds the same numbers, bit for bit.

    Args:
        folder: where to; made if needed. Files of another bundle there are replaced, ``bundle.json`` last.
        pools: every pool must know the same of its models: logits, φ or predicted classes. Ids are written as they are;
            see `pseudonymous`.
        said: `claim`, `epsilon`, `delta` and `notes` of the description.

    Returns:
        The hex SHA-256 of ``bundle.json``.

    Raises:
        BadData: a pool knows something else than the others, or there is no pool.
        StoreFull: no space, or no right to write.
    """
    rows: list[tuple[World, str | None, Pool]] = [(pool.world, None, pool) for pool in pools.pools]
    rows += [("other", name, pool) for name, pool in pools.controls.items()]
    signal, values = _signal_of([pool for _, _, pool in rows])
    models = tuple(
        Model(world=world, pair=int(pair), seed=pool.seeds[i] if pool.seeds else "", control=control)
        for world, control, pool in rows
        for i, pair in enumerate(pool.pairs.tolist())
    )
    roles = np.concatenate([pool.roles for _, _, pool in rows]).astype(np.uint8)
    bodies = {LABELS: _plain(pools.truth), ROLES: _plain(roles), f"{signal}.npz": pack({signal: values})}
    told = Description(
        n_classes=pools.n_classes,
        signal=signal,
        ids=pools.ids,
        models=models,
        files={name: sha256(body).hex() for name, body in bodies.items()},
        subgroups={name: tuple(np.flatnonzero(mask).tolist()) for name, mask in pools.subgroups.items()},
        **said,
    )
    body = told.canonical()
    (folder / DESCRIPTION).unlink(missing_ok=True)  # a bundle that is half written is none
    for name, content in (bodies | {DESCRIPTION: body}).items():
        files.write_durably(folder / name, content, mode=0o600)
    return sha256(body).hex()


def pseudonymous(pools: Pools) -> Pools:
    """Return the pools with numbers in the place of the records' ids."""
    return replace(pools, ids=tuple(f"record-{place}" for place in range(len(pools.ids))))


def claimed(guarantee: Guarantee) -> dict[str, Any]:
    """Return a guarantee as the fields that `write` takes."""
    said = {"grade": guarantee.grade, "epsilon": guarantee.epsilon, "delta": guarantee.delta}
    return {"claim": guarantee.kind} | {name: value for name, value in said.items() if value is not None}


def _signal_of(pools: list[Pool]) -> tuple[Signal, npt.NDArray[Any]]:
    held: Mapping[Signal, list[npt.NDArray[Any] | None]] = {
        "logits": [pool.logits for pool in pools],
        "phi": [pool.given for pool in pools],
        "top1": [pool.top for pool in pools],
    }
    for signal, arrays in held.items():
        known = [array for array in arrays if array is not None]
        if known and len(known) == len(arrays):
            return signal, np.concatenate(known)
    raise BadData("the pools of a bundle must all hold logits, all hold φ, or all hold predicted classes")


def _plain(array: npt.NDArray[Any]) -> bytes:
    body = BytesIO()
    np.lib.format.write_array(body, np.ascontiguousarray(array), allow_pickle=False)
    return body.getvalue()
