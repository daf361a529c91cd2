"""The witness policy: which log, which witnesses, and how many of them must have seen a checkpoint.

Source: spec T10; C2SP tlog-policy.

>>> from expunge.trust.keys import SigningKey
>>> log = SigningKey.from_secret("log.example/expunge", bytes([1]) * 32)
>>> policy = parse_policy(policy_text(log.vkey).encode())
>>> policy.quorum is None, [key.name for key in policy.logs]
(True, ['log.example/expunge'])
>>> policy.require(())
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from expunge.core.canonical import sha256
from expunge.core.errors import MalformedEvidence, Unverifiable
from expunge.trust.keys import VerifyKey
from expunge.trust.note import decimal

MAX_POLICY_BYTES = 1 << 20
_OCTETS = re.compile(rb"[\x09\x0a\x20-\x7e\x80-\xff]*")


@dataclass(frozen=True)
class Quorum:
    """A parsed policy.

    Attributes:
        logs: keys of the logs (type 0x01).
        witnesses: policy name → key (type 0x04 or 0x06).
        groups: name → (how many, members); members are witnesses or earlier groups.
        quorum: the name that must be satisfied, or None (``quorum none``).
        digest: hex SHA-256 of the file's bytes.
    """

    logs: tuple[VerifyKey, ...]
    witnesses: dict[str, VerifyKey]
    groups: dict[str, tuple[int, tuple[str, ...]]]
    quorum: str | None
    digest: str

    def require(self, seen: Iterable[str]) -> None:
        """Check that the witnesses of these policy names are enough.

        Raises:
            Unverifiable: they are not.
        """
        met = set(seen) & set(self.witnesses)
        for name, (need, members) in self.groups.items():  # members come first: no forward references
            if len(met.intersection(members)) >= need:
                met.add(name)
        if self.quorum is not None and self.quorum not in met:
            raise Unverifiable("the checkpoint has not the cosignatures that the policy asks for")


def policy_text(log_vkey: str) -> str:
    """Return the policy of a log without witnesses."""
    return f"log {log_vkey}\nquorum none\n"


@dataclass
class _Reader:
    logs: list[VerifyKey] = field(default_factory=list)
    witnesses: dict[str, VerifyKey] = field(default_factory=dict)
    groups: dict[str, tuple[int, tuple[str, ...]]] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    quorums: list[str] = field(default_factory=list)

    def line(self, words: list[str]) -> None:
        kind, *rest = words
        limits = {"log": (1, 2), "witness": (2, 3), "group": (3, 1 << 16), "quorum": (1, 1)}
        low, high = limits.get(kind, (1, 0))
        if not low <= len(rest) <= high:
            raise MalformedEvidence("a policy line is unknown or has the wrong number of words")
        {"log": self._log, "witness": self._witness, "group": self._group, "quorum": self._quorum}[kind](rest)

    def _log(self, rest: list[str]) -> None:
        self.logs.append(self._key(rest[0], ("ed25519",)))

    def _witness(self, rest: list[str]) -> None:
        self._fresh(rest[0])
        self.witnesses[rest[0]] = self._key(rest[1], ("cosigner", "mldsa44"))

    def _group(self, rest: list[str]) -> None:
        name, rule, *members = rest
        self._fresh(name)
        if len(set(members)) != len(members) or self.taken & set(members):
            raise MalformedEvidence("a policy name is in two groups")
        if not all(m in self.witnesses or m in self.groups for m in members):
            raise MalformedEvidence("a policy group names something that is not defined above it")
        need = {"all": len(members), "any": 1}.get(rule) or decimal(rule)
        if not 1 <= need <= len(members):
            raise MalformedEvidence("a policy group asks for more members than it has, or for none")
        self.taken |= set(members)
        self.groups[name] = (need, tuple(members))

    def _quorum(self, rest: list[str]) -> None:
        if rest[0] != "none" and rest[0] not in self.witnesses and rest[0] not in self.groups:
            raise MalformedEvidence("the policy's quorum names something that is not defined above it")
        self.quorums.append(rest[0])

    def _fresh(self, name: str) -> None:
        if name == "none" or name in self.witnesses or name in self.groups:
            raise MalformedEvidence("a policy name is reserved or used twice")

    def _key(self, vkey: str, kinds: tuple[str, ...]) -> VerifyKey:
        key = VerifyKey.parse(vkey)
        if key.kind not in kinds:
            raise MalformedEvidence("a policy line holds a key of the wrong type")
        if any(key.public == other.public for other in (*self.logs, *self.witnesses.values())):
            raise MalformedEvidence("a policy holds one public key twice")
        return key


def parse_policy(data: bytes) -> Quorum:
    """Read a policy file.

    Raises:
        MalformedEvidence: an octet, line, name, key, group or quorum is not allowed.
    """
    if len(data) > MAX_POLICY_BYTES or not _OCTETS.fullmatch(data):
        raise MalformedEvidence("the policy is too large or holds an octet that is not allowed")
    reader = _Reader()
    for line in data.decode("utf-8", "surrogateescape").split("\n"):
        words = [word for word in re.split(r"[ \t]+", line) if word]
        if words and not words[0].startswith("#"):
            reader.line(words)
    if len(reader.quorums) != 1:
        raise MalformedEvidence("a policy has exactly one quorum line")
    name = reader.quorums[0]
    return Quorum(
        logs=tuple(reader.logs),
        witnesses=reader.witnesses,
        groups=reader.groups,
        quorum=None if name == "none" else name,
        digest=sha256(data).hex(),
    )
