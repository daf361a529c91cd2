"""The closed field types of what travels: digests, times, references, and records with reserved JSON names."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, Field, Strict, StringConstraints

from expunge.core.record import Record


def _real_time(text: str) -> str:
    datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ")
    return text


Hex32 = Annotated[str, StringConstraints(pattern=r"\A[0-9a-f]{64}\z")]
Time = Annotated[
    str, StringConstraints(pattern=r"\A[0-9]{4}(-[0-9]{2}){2}T([0-9]{2}:){2}[0-9]{2}Z\z"), AfterValidator(_real_time)
]
Ref = Annotated[str, StringConstraints(pattern=r"\A([a-z2-7]{25}[aeimquy4]|system)\z")]
Base64 = Annotated[str, StringConstraints(pattern=r"\A[A-Za-z0-9+/]*={0,2}\z")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=4096)]
Count = Annotated[int, Strict(), Field(ge=0)]
Number = Annotated[float, Strict()]
Flag = Annotated[bool, Strict()]
PlainValue = str | Annotated[int, Strict()] | Annotated[float, Strict()] | Flag | None


class Wire(Record):
    """A record some of whose JSON names are no Python names (``_type``, ``from``): fields carry aliases."""

    def as_json(self) -> dict[str, Any]:
        """Return the record under its JSON names; fields that are None are left out."""
        return self.model_dump(mode="json", exclude_none=True, by_alias=True)


def time_text(at: datetime) -> str:
    """Return an aware time in the one spelling used here: RFC 3339, UTC, ``Z``, whole seconds.

    >>> time_text(datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC))
    '2026-01-02T03:04:05Z'
    """
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
