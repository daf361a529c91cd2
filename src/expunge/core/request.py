"""``ForgetRequest``: who asks to forget what, on which ground."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, model_validator

from expunge.core.canonical import MAX_SAFE_INTEGER, nfc
from expunge.core.record import Record

Ground = Literal["erasure", "objection", "consent-withdrawn", "poisoned", "unlicensed", "retention", "other"]
Id = str | int


def _an_id(value: Any) -> Id:
    if isinstance(value, bool) or not isinstance(value, str | int | np.integer):
        raise ValueError("an id is a text or a whole number")  # true and 1.0 are not the record 1
    if isinstance(value, str):
        return nfc(value)
    return int(value) if abs(int(value)) <= MAX_SAFE_INTEGER else str(int(value))  # as text it can travel


_Named = Annotated[Id, BeforeValidator(_an_id)]


class ForgetRequest(Record):
    """A request to forget records, or everything that a subject owns.

    Attributes:
        records: record ids, sorted and without repeats; empty when a subject is named.
        subject: the subject whose records are all to be forgotten.
        ground: why (the requester's claim; not a legal judgement).
        requested_at: when it was received; UTC.
        verified_how: how the requester's right was checked.
    """

    records: tuple[_Named, ...] = ()
    subject: _Named | None = None
    ground: Ground = "erasure"
    requested_at: datetime | None = None
    verified_how: Literal["record-key", "capability", "owner-asserted"] = "owner-asserted"

    @model_validator(mode="after")
    def _one_target(self) -> ForgetRequest:
        if self.records and self.subject is not None:
            raise ValueError("name records or a subject, not both")
        ordered = tuple(sorted(set(self.records), key=lambda i: (isinstance(i, str), str(i))))
        if ordered != self.records:
            object.__setattr__(self, "records", ordered)
        return self

    @property
    def granularity(self) -> Literal["record", "subject"]:
        """What the request targets."""
        return "record" if self.subject is None else "subject"
