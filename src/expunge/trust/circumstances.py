"""What both predicates share: the request and its clock, the screens, validity, issuer and log.

Source: spec T12.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from expunge.core.canonical import json_digest
from expunge.core.record import Record
from expunge.core.ruling import Ruling
from expunge.trust.fields import Hex32, Number, Ref, Text, Time, Wire

NO_REGIME = "none"
NO_REGIME_DIGEST = json_digest({"id": NO_REGIME})


class Extension(Record):
    """A longer deadline, and when the requester was told."""

    reason: Text
    notified_at: Time


class Pause(Wire):
    """A time during which the clock stood still (JSON names ``from``, ``to``)."""

    start: Time = Field(alias="from")
    end: Time = Field(alias="to")
    reason: Text


class Asked(Record):
    """The request that was refused: reference, commitment, clock, and how the requester was verified.

    Attributes:
        ref: random reference of the case.
        commitment: hiding commitment to the request's bytes.
        received_at: when it came.
        decided_at: when it was decided.
        regime: rule set of the dates, or ``none``.
        regime_digest: its digest; `NO_REGIME_DIGEST` for ``none``.
        decide_by: last date of a decision; absent under regime ``none``.
        final_by: last date of completion; absent under regime ``none``.
        verified_how: how the requester's right was checked.
    """

    ref: Ref
    commitment: Hex32
    received_at: Time
    decided_at: Time
    regime: Text
    regime_digest: Hex32
    decide_by: Time | None = None
    final_by: Time | None = None
    verified_how: Literal["record-key", "capability", "mandate", "owner-asserted"]

    @model_validator(mode="after")
    def _dates(self) -> Asked:
        if self.regime != NO_REGIME and None in (self.decide_by, self.final_by):
            raise ValueError("a regime has dates: decide_by and final_by")
        return self


class Request(Asked):
    """The request that was carried out: as `Asked`, with its completion, extension and pauses."""

    completed_at: Time
    extension: Extension | None = None
    pauses: tuple[Pause, ...]


class Security(Record):
    """What the screens said, and how far the request and its batch could move the model."""

    rulings: tuple[Ruling, ...]
    influence: Number | None = None
    batch_influence: Number | None = None


class Validity(Record):
    """When it held, when to look again, and where a revocation would appear."""

    as_of: Time
    reverify_by: Time | None = None
    revocation: Text


class Issuer(Record):
    """Who signs: vkey and role."""

    key: Text
    role: Literal["issuer"]


class LogRef(Record):
    """Which log, under which witness policy."""

    origin: Text
    policy_digest: Hex32
