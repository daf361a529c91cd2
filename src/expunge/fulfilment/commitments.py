"""``Commitments``: salted commitments to the records of a data set, and to what was forgotten from it (spec T03, T04).

Nothing here names a record: keys are pseudonyms under a secret, values are commitments under random nonces. A nonce
leaves with its record. The whole is pseudonymous personal data and stays off the log; only roots are published.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from expunge.core.canonical import Arrays, sha256
from expunge.core.dataset import Dataset
from expunge.core.errors import StoreDamaged
from expunge.trust.manifest import MapProof, SparseMap, forgotten_items, record_key

Pairs = Mapping[bytes, bytes]


@dataclass(frozen=True, eq=False)
class Commitments:
    """The maps D (records in the data set) and U (records forgotten), and what opens them.

    Attributes:
        secret: K_manifest, 32 bytes; who has it can tell which key is whose.
        nonces: key → 32 bytes, for the records in D only.
        records: D: key → c.
        unlearned: U: key and content key → c of every record that left.

    Cost: about 4 microseconds a record to make, 8 for a root (kept once computed).
    Source: spec T03, T04.
    """

    secret: bytes = field(repr=False)
    nonces: Pairs = field(repr=False)
    records: Pairs = field(repr=False)
    unlearned: Pairs = field(repr=False)

    @classmethod
    def fresh(cls, data: Dataset) -> Self:
        """Commit to a data set, with a new secret and new nonces."""
        secret = secrets.token_bytes(32)
        salt = secrets.token_bytes(32 * len(data))
        keys = [record_key(secret, str(i)) for i in data.ids.tolist()]
        nonces = {key: salt[32 * j : 32 * j + 32] for j, key in enumerate(keys)}
        body = data.record_digests.tobytes()
        records = {
            key: sha256(b"expunge/record/v1\n", nonces[key], body[32 * j : 32 * j + 32]) for j, key in enumerate(keys)
        }
        return cls(secret, nonces, records, {})

    def leaving(self, forgotten: Dataset) -> list[tuple[bytes, bytes, bytes]]:
        """Return (key, content key, c) of records of the data set.

        Raises:
            StoreDamaged: a record was never committed to.
        """
        digests = forgotten.record_digests
        found = []
        for row, value in enumerate(forgotten.ids.tolist()):
            key = record_key(self.secret, str(value))
            if key not in self.records:
                raise StoreDamaged("a record of the data set has no commitment")
            found.append((key, _content(self.secret, digests[row].tobytes()), self.records[key]))
        return found

    def without(self, forgotten: Dataset) -> Self:
        """Return the commitments after these records left: out of D with their nonces, into U."""
        left = self.leaving(forgotten)
        gone = {key for key, _, _ in left}
        return type(self)(
            self.secret,
            {key: nonce for key, nonce in self.nonces.items() if key not in gone},
            {key: c for key, c in self.records.items() if key not in gone},
            {**self.unlearned, **forgotten_items(left)},
        )

    def refused(self, data: Dataset) -> tuple[Any, ...]:
        """Return the ids of records that were forgotten before, by id or by content, and come again."""
        digests = data.record_digests
        return tuple(
            value
            for row, value in enumerate(data.ids.tolist())
            if record_key(self.secret, str(value)) in self.unlearned
            or _content(self.secret, digests[row].tobytes()) in self.unlearned
        )

    @cached_property
    def d_map(self) -> SparseMap:
        """The map over the data set."""
        return SparseMap(self.records)

    @cached_property
    def u_map(self) -> SparseMap:
        """The map over what was forgotten."""
        return SparseMap(self.unlearned)

    def s_root(self, forgotten: Dataset) -> bytes:
        """Return the map root over these records of the data set alone."""
        return SparseMap({key: c for key, _, c in self.leaving(forgotten)}).root

    def absence(self, key: bytes) -> MapProof:
        """Return the proof of what D says of a key."""
        return self.d_map.prove(key)

    def arrays(self) -> Arrays:
        """Return everything as arrays of shape (n, 32) uint8, for the store; sorted by key."""
        inside, left = sorted(self.records), sorted(self.unlearned)
        return {
            "secret": _stack([self.secret]),
            "keys": _stack(inside),
            "nonces": _stack([self.nonces[k] for k in inside]),
            "records": _stack([self.records[k] for k in inside]),
            "unlearned_keys": _stack(left),
            "unlearned": _stack([self.unlearned[k] for k in left]),
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """Read what `arrays` gave.

        Raises:
            StoreDamaged: an array is missing or does not fit.
        """
        try:
            keys, left = _rows(arrays["keys"]), _rows(arrays["unlearned_keys"])
            return cls(
                _rows(arrays["secret"])[0],
                dict(zip(keys, _rows(arrays["nonces"]), strict=True)),
                dict(zip(keys, _rows(arrays["records"]), strict=True)),
                dict(zip(left, _rows(arrays["unlearned"]), strict=True)),
            )
        except (KeyError, ValueError, IndexError) as error:
            raise StoreDamaged("the commitments are not readable") from error


def _content(secret: bytes, digest: bytes) -> bytes:
    return hmac.digest(secret, b"expunge/content/v1\n" + digest, "sha256")


def _stack(rows: list[bytes]) -> npt.NDArray[np.uint8]:
    return np.frombuffer(b"".join(rows), np.uint8).reshape(-1, 32)


def _rows(array: npt.NDArray[Any]) -> list[bytes]:
    body = np.ascontiguousarray(array, np.uint8)
    if body.ndim != 2 or body.shape[1] != 32:
        raise ValueError("not rows of 32 bytes")
    return [row.tobytes() for row in body]
