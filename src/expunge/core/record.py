"""``Record``: the frozen, closed pydantic base of everything that travels (requests, rulings, evidence, receipts)."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from expunge.core.canonical import canonical_json, json_digest, read_json
from expunge.core.errors import MalformedEvidence


class Record(BaseModel):
    """A value that travels: immutable, without unknown fields, without NaN, with one canonical byte form."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, ser_json_bytes="base64")

    def as_json(self) -> dict[str, Any]:
        """Return the record as JSON-able data; fields that are None are left out."""
        return self.model_dump(mode="json", exclude_none=True)

    def canonical(self) -> bytes:
        """Return the RFC 8785 bytes of the record."""
        return canonical_json(self.as_json())

    def digest(self) -> str:
        """Return the hex SHA-256 of the canonical bytes."""
        return json_digest(self.as_json())

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Build the record from parsed JSON.

        Raises:
            MalformedEvidence: a field is missing, unknown or of the wrong type.
        """
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(p) for p in first["loc"])
            told = (cls.__name__, where, first["msg"].removeprefix("Value error, "))
            raise MalformedEvidence(": ".join(part for part in told if part)) from error

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read the record strictly from JSON bytes (see `read_json`)."""
        return cls.from_json(read_json(data))
