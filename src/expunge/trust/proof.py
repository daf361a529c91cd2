"""The proof that an entry is in a log, as text (C2SP tlog-proof): index, path, and the checkpoint it leads to.

Source: spec T10; C2SP tlog-proof.

>>> from expunge.core.canonical import sha256
>>> from expunge.trust.keys import SigningKey
>>> from expunge.trust.merkle import Tree
>>> from expunge.trust.note import Checkpoint, cosign, join_note, sign_text
>>> log = SigningKey.from_secret("log.example/expunge", bytes([1]) * 32)
>>> witness = SigningKey.from_secret("witness.example/w1", bytes([2]) * 32, kind="cosigner")
>>> tree = Tree(f"leaf-{i}".encode() for i in range(7))
>>> text = Checkpoint("log.example/expunge", 7, tree.root()).text()
>>> note = join_note(text, sign_text(text, log), cosign(text, witness, 1700000000))
>>> proof = Proof(3, tuple(tree.inclusion(3)), note).text()
>>> len(proof.encode()), sha256(proof.encode()).hex()
(480, '48642d2772ae28d570d88915a69f535e94bcf3d019b82945fd5d5da7409babb5')
>>> Proof.parse(proof).text() == proof
True
"""

from __future__ import annotations

from dataclasses import dataclass

from expunge.core.canonical import b64, unb64
from expunge.core.errors import MalformedEvidence
from expunge.trust.merkle import HASH_BYTES
from expunge.trust.note import decimal

HEADER = "c2sp.org/tlog-proof@v1"
MAX_PATH = 63


@dataclass(frozen=True)
class Proof:
    """Where an entry stands in a log.

    Attributes:
        index: of the entry.
        path: hashes from the leaf's sibling up.
        note: the checkpoint note that the path leads to, verbatim.
    """

    index: int
    path: tuple[bytes, ...]
    note: str

    def text(self) -> str:
        """Return the proof's text."""
        hashes = "".join(f"{b64(step)}\n" for step in self.path)
        return f"{HEADER}\nindex {self.index}\n{hashes}\n{self.note}"

    @classmethod
    def parse(cls, text: str) -> Proof:
        """Read a proof's text; an ``extra`` line is decoded and ignored.

        Raises:
            MalformedEvidence: it is not one.
        """
        head, gap, note = text.partition("\n\n")
        lines = head.split("\n")
        if not gap or lines.pop(0) != HEADER:
            raise MalformedEvidence("not a log proof")
        if lines and lines[0].startswith("extra "):
            unb64(lines.pop(0).removeprefix("extra "))
        if not lines or not lines[0].startswith("index "):
            raise MalformedEvidence("a log proof has no index line where it belongs")
        index = decimal(lines.pop(0).removeprefix("index "))
        path = tuple(unb64(line) for line in lines)
        if len(path) > MAX_PATH or any(len(step) != HASH_BYTES for step in path):
            raise MalformedEvidence("the path of a log proof is malformed")
        return cls(index, path, note)
