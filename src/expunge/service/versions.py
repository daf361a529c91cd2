"""Model versions as objects: which files a version is made of, and how a deployment is saved and loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from expunge.core.archive import pack, pack_dataset, unpack, unpack_dataset
from expunge.core.canonical import canonical_json, read_json, split_parts
from expunge.core.deployment import Deployment
from expunge.core.errors import EvidenceError, StoreDamaged
from expunge.core.roles import Learner, Remembers, Restores
from expunge.core.seeds import Key
from expunge.fulfilment.commitments import Commitments
from expunge.service.database import Version
from expunge.service.objects import Objects

MAX_PARTS_JSON = 1 << 24
SECRET = "secret"  # noqa: S105 - the name of an array that is never among the objects


@dataclass(frozen=True)
class Parts:
    """The objects of a version.

    Attributes:
        data: name of the training records.
        holdout: name of the records set aside; None if there are none.
        commitments: name of the salted commitments to the records.
        model: names of the model's parts, in part order.
    """

    data: str
    holdout: str | None
    commitments: str
    model: tuple[str, ...]

    def names(self) -> frozenset[str]:
        """Return every object that the version needs."""
        return frozenset({self.data, self.commitments, *self.model} | ({self.holdout} if self.holdout else set()))

    def text(self) -> str:
        """Return the parts as JSON text."""
        return canonical_json({**vars(self), "model": list(self.model)}).decode()

    @classmethod
    def of(cls, version: Version) -> Parts:
        """Return the parts of a version that is not destroyed.

        Raises:
            StoreDamaged: its row does not list them.
        """
        try:
            found = read_json((version.objects or "").encode(), MAX_PARTS_JSON)
            return cls(str(found["data"]), found["holdout"], str(found["commitments"]), tuple(found["model"]))
        except (EvidenceError, KeyError, TypeError) as error:
            raise StoreDamaged(f"version {version.number} does not say what it is made of") from error


def save_deployment(deployment: Deployment, commitments: Commitments, objects: Objects) -> Parts:
    """Write a deployment's records, commitments and model; parts that are there already are not written again.

    Raises:
        StoreFull: no space.
    """
    arrays = dict(deployment.model.state())
    if isinstance(deployment.model, Remembers):
        arrays |= dict(deployment.model.memory())
    model = objects.put(pack(group) for group in split_parts(arrays).values())
    (data,) = objects.put([pack_dataset(deployment.data)])
    held = deployment.holdout
    holdout = objects.put([pack_dataset(held)])[0] if held is not None else None
    salted = {name: array for name, array in commitments.arrays().items() if name != SECRET}
    (committed,) = objects.put([pack(salted)])
    return Parts(data, holdout, committed, tuple(model))


def load_commitments(version: Version, objects: Objects, secret: bytes) -> Commitments:
    """Read the commitments of a version; their secret lies among the keys.

    Raises:
        StoreDamaged: missing or altered.
    """
    arrays = unpack(objects.get(Parts.of(version).commitments), "commitments")
    return Commitments.from_arrays({**arrays, SECRET: np.frombuffer(secret, np.uint8).reshape(1, -1)})


def load_deployment(version: Version, objects: Objects, learner: Learner, key: Key) -> Deployment:
    """Read a version back; a learner that cannot restore learns again from the records.

    Raises:
        StoreDamaged: an object is missing or altered, or the model is not the one that was stored.
    """
    parts = Parts.of(version)
    data = unpack_dataset(objects.get(parts.data), "training records")
    holdout = unpack_dataset(objects.get(parts.holdout), "holdout") if parts.holdout else None
    if isinstance(learner, Restores):
        arrays: dict[str, npt.NDArray[Any]] = {}
        for name in parts.model:
            arrays |= unpack(objects.get(name), "model part")
        model = learner.restore(arrays, data, key)
    else:
        model = learner.fit(data, key)
    if model.digest() != version.digest:
        raise StoreDamaged(f"the model of version {version.number} is not the one that was stored")
    return Deployment(learner, data, key, model, holdout, version.fit_s)
