"""Replaying a store, and handing out to an auditor what a replay needs: records, key opening, recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from expunge import catalog
from expunge.core.archive import pack, pack_dataset, unpack, unpack_dataset
from expunge.core.canonical import b64, canonical_json, read_json, unb64
from expunge.core.errors import EvidenceError, MalformedEvidence, StoreExists, StoreMissing
from expunge.core.files import read_file, write_durably
from expunge.core.record import Record
from expunge.core.roles import Learner, Progress
from expunge.core.seeds import Key
from expunge.fulfilment.commitments import Commitments
from expunge.fulfilment.replay import Given, Replayed, replay, replay_statement
from expunge.service.keyring import PRIVATE
from expunge.service.pages import certificate
from expunge.service.store import Store
from expunge.service.versions import SECRET
from expunge.trust.verify import verify

OPENING, RECORDS, SALTS = "opening.json", "records.safetensors", "commitments.safetensors"


class Opening(Record):
    """What opens a model to an auditor: the recipe of the learner, the key, and the secret of the pseudonyms (base64).

    Attributes:
        learner: catalogue name.
        params: hyper-parameters.
        secret: of the key of all draws.
        nonce: blinds the commitment to it.
        seed: mixed into the key.
        manifest: the secret that turns ids into pseudonyms.
        model: digest of the model in use when this was handed out (hex).
    """

    learner: str
    params: dict[str, Any]
    secret: str = Field(repr=False)
    nonce: str
    seed: str
    manifest: str = Field(repr=False)
    model: str

    def key(self) -> Key:
        """Return the key.

        Raises:
            MalformedEvidence: it is not base64.
        """
        return Key(unb64(self.secret), self.seed, unb64(self.nonce))


def replay_place(
    place: Path,
    receipt: bytes | None = None,
    trust: bytes | None = None,
    *,
    n_threads: int | None = None,
    progress: Progress | None = None,
) -> Replayed:
    """Learn the model of a store, or of what was handed out, again.

    Args:
        place: a store, or a folder made by `hand_out`.
        receipt: compare with what it states, after verifying it; default: with the saved model.
        trust: the trust root that the receipt is verified against.
        n_threads: threads for the fit.
        progress: of the fit.

    Raises:
        StoreMissing: neither a store nor a hand-out.
        ClaimRefuted, ProofInvalid, Unverifiable: see `expunge.fulfilment.replay`.
    """
    given, digest = _of_hand_out(place) if (place / OPENING).is_file() else _of_store(place)
    if receipt is None:
        return replay(given, digest, n_threads=n_threads, progress=progress)
    if trust is not None:
        verify(receipt, trust)
    return replay_statement(given, certificate(receipt), n_threads=n_threads, progress=progress)


def hand_out(root: Path, folder: Path) -> Opening:
    """Write what an auditor needs to replay the model of a store, readable by its owner only.

    Raises:
        StoreExists: the folder is there already, or would lie in the store.
    """
    if folder.exists() or root.resolve() in folder.resolve().parents:
        raise StoreExists(f"{folder} is there already, or lies in the store", hint="Name a new folder outside it.")
    with Store.open(root) as store:
        store.require_finished()
        key, version, settings = store.keyring.model(), store.database.active(), store.settings
        data, commitments = store.deployment().data, store.commitments()
        opening = Opening(
            learner=settings.learner,
            params=settings.params,
            secret=b64(key.secret),
            nonce=b64(key.nonce),
            seed=key.seed,
            manifest=b64(commitments.secret),
            model=version.digest,
        )
    folder.mkdir(mode=0o700, parents=True)
    salts = {name: array for name, array in commitments.arrays().items() if name != SECRET}
    write_durably(folder / RECORDS, pack_dataset(data), PRIVATE)
    write_durably(folder / SALTS, pack(salts), PRIVATE)
    write_durably(folder / OPENING, canonical_json(opening.as_json()) + b"\n", PRIVATE)
    return opening


def _of_store(root: Path) -> tuple[Given, str]:
    if not (root / "store.json").is_file():
        raise StoreMissing(f"there is neither a store nor a hand-out in {root}")
    with Store.open(root) as store:
        store.require_finished()
        deployment = store.deployment()
        given = Given(store.learner(), deployment.data, deployment.key, store.commitments())
        return given, store.database.active().digest


def _of_hand_out(folder: Path) -> tuple[Given, str]:
    try:
        opening = Opening.from_json(read_json(read_file(folder / OPENING)))
        key, secret = opening.key(), unb64(opening.manifest)
    except EvidenceError as error:
        raise MalformedEvidence(f"{OPENING} cannot be read: {error.message}") from error
    learner: Learner = catalog.build("learner", opening.learner, **opening.params)
    data = unpack_dataset(read_file(folder / RECORDS), RECORDS)
    arrays = unpack(read_file(folder / SALTS), SALTS)
    salts = Commitments.from_arrays({**arrays, SECRET: np.frombuffer(secret, np.uint8).reshape(1, -1)})
    return Given(learner, data, key, salts), opening.model
