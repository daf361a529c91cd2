"""The statement that an issuer signs: an in-toto Statement v1 around one of our predicates.

Closed on writing; on reading, an unknown member of the predicate is a warning, unless the statement's
``critical`` list names it: then the statement cannot be verified by this version.

Source: spec T02, T12; in-toto attestation framework v1.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from expunge.core.canonical import read_json
from expunge.core.errors import MalformedEvidence, Unverifiable
from expunge.core.record import Record
from expunge.trust.fields import Hex32, Text, Wire
from expunge.trust.predicate import Denial, Unlearning

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
UNLEARNING = "urn:x-expunge:unlearning:v1"
DENIAL = "urn:x-expunge:denial:v1"


class Digest(Record):
    """A subject's digest."""

    sha256: Hex32


class Subject(Wire):
    """What a statement is about (JSON name ``digest``)."""

    name: Text
    digests: Digest = Field(alias="digest")


class Statement(Wire):
    """An in-toto statement (JSON names ``_type``, ``predicateType``).

    Attributes:
        kind: the in-toto type.
        subject: the models after (or, of a denial, the request).
        predicate_type: `UNLEARNING` or `DENIAL`.
        predicate: what is said of the subject.
    """

    kind: Literal["https://in-toto.io/Statement/v1"] = Field(alias="_type")
    subject: tuple[Subject, ...] = Field(min_length=1)
    predicate_type: Literal["urn:x-expunge:unlearning:v1", "urn:x-expunge:denial:v1"] = Field(alias="predicateType")
    predicate: Unlearning | Denial


def subject_of(predicate: Unlearning | Denial) -> tuple[tuple[str, str], ...]:
    """Return the (name, digest) pairs that a statement with this predicate must be about."""
    if isinstance(predicate, Denial):
        return ((f"case:{predicate.request.ref}", predicate.request.commitment),)
    return tuple((model.id, model.after) for model in predicate.scope.models)


def statement(predicate: Unlearning | Denial) -> Statement:
    """Return the statement that makes this predicate of its subjects."""
    subjects = [{"name": name, "digest": {"sha256": digest}} for name, digest in subject_of(predicate)]
    return Statement.from_json(
        {
            "_type": STATEMENT_TYPE,
            "subject": subjects,
            "predicateType": DENIAL if isinstance(predicate, Denial) else UNLEARNING,
            "predicate": predicate,
        }
    )


def read_statement(payload: bytes) -> tuple[Statement, tuple[str, ...]]:
    """Read a statement strictly and return it with warnings about members that were ignored.

    Raises:
        MalformedEvidence: it is not a statement of a known predicate type.
        Unverifiable: its ``critical`` list names a member that this version does not know.
    """
    value = read_json(payload)
    known: dict[Any, type[Unlearning | Denial]] = {UNLEARNING: Unlearning, DENIAL: Denial}
    if not isinstance(value, dict) or not isinstance(value.get("predicateType"), str):
        raise MalformedEvidence("the payload is not a statement")
    shape = known.get(value["predicateType"])
    if shape is None:
        raise MalformedEvidence("the statement's predicate type is unknown")
    raw = value.get("predicate")
    if not isinstance(raw, dict):
        raise MalformedEvidence("the statement has no predicate")
    strange = sorted(set(raw) - set(shape.model_fields))
    predicate = shape.from_json({name: raw[name] for name in raw if name not in strange})
    unknown = sorted(set(predicate.critical or ()) - set(shape.model_fields))
    if unknown:
        raise Unverifiable("the statement has critical members that this version does not know")
    warnings = tuple(f"unknown member ignored: {name!r}" for name in strange)
    return Statement.from_json({**value, "predicate": predicate}), warnings


def schema() -> dict[str, Any]:
    """Return the JSON Schema of a statement."""
    return Statement.model_json_schema(by_alias=True)
