"""Verifying a receipt, offline, against a trust root: one order of checks, the first failure raises.

1 strict parse · 2 envelope and pinned keys · 3 log entry and commitment · 4 inclusion · 5 checkpoint ·
6 cosignatures · 7 the issuer's key at this index · 8 what the statement may say · 9 the holder's own record.

Cost: about one Ed25519 verification a signature and log2 n hashes; a few milliseconds in all.

Source: spec T13.
"""

from __future__ import annotations

from dataclasses import dataclass

from expunge.core.canonical import sha256, unb64
from expunge.core.errors import (
    ClaimRefuted,
    MalformedEvidence,
    ProofInvalid,
    SignatureInvalid,
    Unverifiable,
)
from expunge.core.record import Record
from expunge.trust.circumstances import NO_REGIME
from expunge.trust.claims import check_statement, gates
from expunge.trust.envelope import open_envelope, pae
from expunge.trust.fields import Hex32
from expunge.trust.keys import VerifyKey
from expunge.trust.leaf import Leaf, body_commitment, read_leaf
from expunge.trust.manifest import verify_absence, verify_membership
from expunge.trust.merkle import leaf_hash, verify_inclusion
from expunge.trust.note import Checkpoint, note_text, open_note
from expunge.trust.predicate import Data, Denial, NonClaim, Unlearning
from expunge.trust.proof import Proof
from expunge.trust.receipt import MapAnswer, MapName, Receipt
from expunge.trust.statement import Statement, read_statement
from expunge.trust.trustroot import Pins, open_trust
from expunge.trust.verified import Verified


class HolderSecrets(Record):
    """What the holder of a record knows, to check its own record with.

    Attributes:
        key: pseudonym of the record's id.
        c: commitment of the record.
        ckey: pseudonym of the record's content, where known.
        proofs: map answers (as attachments) that the holder got besides those in the receipt.
    """

    key: Hex32
    c: Hex32
    ckey: Hex32 | None = None
    proofs: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Place:
    """Where an entry was shown to stand."""

    entry_hash: bytes
    index: int
    at: Checkpoint
    witnesses: int
    independent: int


def verify(receipt: bytes, trust: bytes, *, holder: HolderSecrets | None = None) -> Verified:
    """Check a receipt and return what it establishes.

    Args:
        receipt: the receipt file's exact bytes.
        trust: the trust root's exact bytes.
        holder: what the holder of a forgotten record knows; then its record is checked too.

    Raises:
        TrustRootInvalid: the trust root cannot be used (exit code 2).
        Unverifiable: something needed is missing: a key, a cosignature, a proof (exit code 3).
        EvidenceError: the receipt is refuted; the class says by which check (exit code 1).
    """
    pins = open_trust(trust)
    parsed = Receipt.from_bytes(receipt)
    payload, signers = open_envelope(parsed.envelope, tuple(pins.keys))
    entry = unb64(parsed.leaf.entry)
    leaf = _open_leaf(entry, parsed, payload)
    place = _locate(entry, parsed.proof, pins)
    issuer = _issuer(signers, place, pins)
    said, warnings = read_statement(payload)
    warnings += _check_meaning(said, leaf, issuer, place, pins)
    predicate = said.predicate
    if isinstance(predicate, Denial):
        if holder is not None or parsed.attachments is not None:
            raise ClaimRefuted("a denial carries no proof about records")
    else:
        _check_maps(predicate.data, parsed, holder)
        warnings += _check_manifest(predicate.data, parsed, place, pins)
    return _verified(predicate, place, issuer, warnings, holder is not None)


def _open_leaf(entry: bytes, parsed: Receipt, payload: bytes) -> Leaf:
    leaf, nonce = read_leaf(entry), unb64(parsed.leaf.nonce)
    if leaf.type not in ("CERT", "DECISION"):
        raise ClaimRefuted(f"the log entry is a {leaf.type}, not a certificate or a decision")
    if len(nonce) != 32 or leaf.body_type != parsed.envelope.payloadType:
        raise MalformedEvidence("the nonce or the body type of the log entry is malformed")
    if leaf.body != body_commitment(nonce, pae(parsed.envelope.payloadType, payload)):
        raise ProofInvalid("the log entry commits to another statement")
    return leaf


def _locate(entry: bytes, proof_text: str, pins: Pins) -> _Place:
    """Check inclusion, checkpoint signature and cosignatures (steps 4 to 6)."""
    proof = Proof.parse(proof_text)
    note = proof.note.encode()
    at = Checkpoint.parse(note_text(note))
    verify_inclusion(proof.index, at.size, leaf_hash(entry), proof.path, at.root)
    logs = [key for key in pins.policy.logs if key.name == at.origin]
    if not logs:
        raise Unverifiable("the checkpoint is of a log that the trust root does not pin")
    open_note(note, logs)
    witnesses = pins.policy.witnesses
    keys = {signed.key for signed in open_note(note, [*logs, *witnesses.values()])[1]}
    seen = [name for name, key in witnesses.items() if key in keys]
    pins.policy.require(seen)
    operators = {pins.root.witnesses[n].operator for n in seen if _independent(n, pins)}
    if len(operators) < pins.root.min_independent:
        raise Unverifiable("too few independent witnesses have cosigned the checkpoint")
    return _Place(leaf_hash(entry), proof.index, at, len(seen), len(operators))


def _independent(name: str, pins: Pins) -> bool:
    return name in pins.root.witnesses and pins.root.witnesses[name].independent


def _issuer(signers: tuple[VerifyKey, ...], place: _Place, pins: Pins) -> VerifyKey:
    """Return the issuer whose key was good at this index (step 7)."""
    issuers = [key for key in signers if pins.keys[key].role == "issuer"]
    if not issuers:
        raise Unverifiable("no pinned issuer has signed the statement")
    for key in issuers:
        pin = pins.keys[key]
        if pin.from_index <= place.index and (pin.until_index is None or place.index < pin.until_index):
            return key
    raise SignatureInvalid("the issuer's key was not good at this place in the log")


def _check_meaning(said: Statement, leaf: Leaf, issuer: VerifyKey, place: _Place, pins: Pins) -> tuple[str, ...]:
    """Check what the statement says against its own fields, the entry and the pins (step 8)."""
    check_statement(said)
    predicate = said.predicate
    if leaf.type != ("DECISION" if isinstance(predicate, Denial) else "CERT"):
        raise ClaimRefuted("the log entry is of another type than the statement")
    if leaf.ref != predicate.request.ref:
        raise ClaimRefuted("the log entry belongs to another case")
    if predicate.issuer.key != issuer.vkey:
        raise ClaimRefuted("the statement names another issuer than the one who signed")
    if (predicate.log.origin, predicate.log.policy_digest) != (place.at.origin, pins.policy.digest):
        raise ClaimRefuted("the statement was made under another log or witness policy")
    if place.entry_hash.hex() in pins.root.revoked:
        raise ClaimRefuted("the certificate was revoked")
    return _warnings(predicate, pins)


def _warnings(predicate: Unlearning | Denial, pins: Pins) -> tuple[str, ...]:
    asked, found = predicate.request, []
    if asked.regime != NO_REGIME and asked.regime_digest not in pins.root.regimes:
        found.append("the rule set of the dates is not pinned; the dates were not checked against it")
    if isinstance(predicate, Unlearning):
        if predicate.request.final_by and predicate.request.completed_at > predicate.request.final_by:
            found.append("the request was completed after its last date")
        if not all(gates(predicate)):
            found.append("a measurement did not pass its threshold")
    return tuple(found)


def _check_maps(data: Data, parsed: Receipt, holder: HolderSecrets | None) -> None:
    """Check the attachments, and the holder's record under both maps (step 9)."""
    attached = [unb64(text) for text in parsed.attachments.absence] if parsed.attachments else []
    if tuple(sha256(item).hex() for item in attached) != data.absence_digests:
        raise ProofInvalid("the attachments are not those that the statement names")
    answers = [MapAnswer.from_bytes(item) for item in attached]
    if holder is not None:
        answers += [MapAnswer.from_bytes(unb64(text)) for text in holder.proofs]
    for answer in answers:
        _check_answer(answer, data)
    if holder is not None:
        _check_holder(holder, answers)


def _check_manifest(data: Data, parsed: Receipt, place: _Place, pins: Pins) -> tuple[str, ...]:
    extras, warnings = parsed.attachments, []
    if extras is not None and extras.rfc3161 is not None:
        warnings.append("the attached time stamp was not checked; this version cannot")
    if extras is None or extras.manifest_leaf is None:
        warnings.append("the roots of the training set were not announced in a log entry of their own")
        return tuple(warnings)
    entry = unb64(extras.manifest_leaf.entry)
    where, leaf = _locate(entry, extras.manifest_leaf.proof, pins), read_leaf(entry)
    told = {"dataset": data.dataset, "version": data.version, "d_root": data.d_after, "u_root": data.u_after}
    public = leaf.public or {}
    if leaf.type != "MANIFEST" or any(public.get(name) != told[name] for name in told):
        raise ProofInvalid("the attached manifest entry announces other roots")
    if where.at.origin != place.at.origin or where.index >= place.index:
        raise ClaimRefuted("the manifest entry does not come before the certificate in its log")
    return tuple(warnings)


def _check_answer(answer: MapAnswer, data: Data) -> None:
    root = bytes.fromhex(data.d_after if answer.map == "d_after" else data.u_after)
    key = bytes.fromhex(answer.key)
    if answer.value is None:
        verify_absence(root, key, answer.proof)
    else:
        verify_membership(root, key, bytes.fromhex(answer.value), answer.proof)


def _check_holder(holder: HolderSecrets, answers: list[MapAnswer]) -> None:
    told = {(answer.map, answer.key): answer.value for answer in answers}
    wanted: list[tuple[MapName, str, str | None]] = [("d_after", holder.key, None), ("u_after", holder.key, holder.c)]
    if holder.ckey is not None:
        wanted.append(("u_after", holder.ckey, holder.c))
    for name, key, value in wanted:
        if (name, key) not in told:
            raise Unverifiable(f"no proof about your record under {name}; ask the issuer for it")
        if told[name, key] != value:
            raise ClaimRefuted(f"the map {name} says of your record what it should not")


def _verified(
    predicate: Unlearning | Denial, place: _Place, issuer: VerifyKey, warnings: tuple[str, ...], checked: bool
) -> Verified:
    shared = {
        "ref": predicate.request.ref,
        "reasons": predicate.reasons,
        "warnings": warnings,
        "issuer": issuer.label,
        "log_origin": place.at.origin,
        "log_size": place.at.size,
        "index": place.index,
        "entry_hash": place.entry_hash.hex(),
        "witnesses": place.witnesses,
        "independent_witnesses": place.independent,
        "holder_checked": checked,
        "as_of": predicate.validity.as_of,
    }
    alone: set[NonClaim] = set() if place.independent else {"witness-independence"}
    if isinstance(predicate, Denial):
        own = {"statement": "denial", "outcome": "denied", "level": "L0", "grounds": predicate.grounds}
        return Verified.from_json({**shared, **own, "non_claims": tuple(sorted(alone))})
    return Verified.from_json(
        {
            **shared,
            "statement": "unlearning",
            "stage": predicate.stage,
            "outcome": predicate.outcome,
            "level": predicate.claim.level,
            "guarantee": predicate.guarantee,
            "models": predicate.scope.models,
            "n_forgotten": predicate.scope.n_forgotten,
            "n_set_aside": predicate.scope.n_set_aside or 0,
            "non_claims": tuple(sorted(alone | set(predicate.claim.non_claims))),
            "not_covered": predicate.scope.not_covered,
            "gaps": predicate.scope.gaps,
        }
    )
