"""The trust root: what a verifier pins, from a channel that the provider does not control.

Source: spec T11, T13.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from expunge.core.errors import ExpungeError, TrustRootInvalid
from expunge.core.record import Record
from expunge.trust.fields import Count, Flag, Hex32, Text
from expunge.trust.keys import VerifyKey
from expunge.trust.quorum import Quorum, parse_policy, policy_text

Role = Literal["issuer", "auditor", "promiser"]


class PinnedKey(Record):
    """A key that may sign statements, and the log indices between which it was good.

    Attributes:
        vkey: the public key.
        role: what it may sign.
        from_index: first log index at which its statements count.
        until_index: index of the leaf that retired it; None while it is good.
    """

    vkey: str
    role: Role
    from_index: Count = 0
    until_index: Count | None = None


class Operator(Record):
    """Who runs a witness, and whether independently of the provider."""

    operator: Text
    independent: Flag


class TrustRoot(Record):
    """``trust.json``.

    Attributes:
        type: ``expunge-trust/v1``.
        policy: text of the witness policy, which pins the log's key too.
        keys: issuer and auditor keys.
        witnesses: policy name of a witness → operator.
        min_independent: how many independent operators must have cosigned.
        regimes: digests of the rule sets of dates that the verifier accepts.
        revoked: leaf hashes of certificates that are known to be revoked.
    """

    type: Literal["expunge-trust/v1"]
    policy: str
    keys: tuple[PinnedKey, ...]
    witnesses: dict[str, Operator]
    min_independent: Count
    regimes: tuple[Hex32, ...]
    revoked: tuple[Hex32, ...] = ()


@dataclass(frozen=True)
class Pins:
    """A trust root, parsed.

    Attributes:
        root: the record.
        policy: the parsed witness policy.
        keys: public key → how it is pinned.
    """

    root: TrustRoot
    policy: Quorum
    keys: dict[VerifyKey, PinnedKey]


def trust_root(log_vkey: str, *issuer_vkeys: str) -> TrustRoot:
    """Return the trust root of a log without witnesses and its issuers."""
    return TrustRoot(
        type="expunge-trust/v1",
        policy=policy_text(log_vkey),
        keys=tuple(PinnedKey(vkey=vkey, role="issuer") for vkey in issuer_vkeys),
        witnesses={},
        min_independent=0,
        regimes=(),
    )


def open_trust(data: bytes) -> Pins:
    """Read a trust root strictly.

    Raises:
        TrustRootInvalid: it is malformed, pins no log or no issuer, or names an unknown witness.
    """
    try:
        root = TrustRoot.from_bytes(data)
        policy = parse_policy(root.policy.encode("utf-8", "surrogateescape"))
        keys = {VerifyKey.parse(pin.vkey): pin for pin in root.keys}
    except (ExpungeError, UnicodeEncodeError) as error:
        raise TrustRootInvalid(f"the trust root cannot be used: {error}") from error
    if len(keys) != len(root.keys) or any(key.kind == "cosigner" for key in keys):
        raise TrustRootInvalid("the trust root pins a key twice, or a witness's key as a signer of statements")
    if not policy.logs or "issuer" not in {pin.role for pin in root.keys}:
        raise TrustRootInvalid("the trust root pins no log or no issuer")
    if set(root.witnesses) - set(policy.witnesses):
        raise TrustRootInvalid("the trust root names a witness that its policy does not have")
    return Pins(root, policy, keys)
