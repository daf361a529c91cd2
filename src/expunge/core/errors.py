"""Every error that expunge raises on purpose, with a stable code, a hint, an HTTP status and an exit code.

The tree::

    ExpungeError
    ├── BadInput              what was asked cannot be done as asked
    │   ├── UnknownRecord  UnknownSubject  DuplicateId  NothingLeft  ClassVanished
    │   ├── MissingColumn  BadTarget  BadData  TooLarge  UnknownName  NotFitted
    ├── Refused               the policy or the planner says no, with reasons
    │   ├── RequestRefused  RequestHeld  NoPlan  Unsupported
    ├── StoreError            the directory on disk
    │   ├── StoreMissing  StoreExists  StoreVersion  StoreBusy  StoreFull  StoreDamaged  StoreUnfinished
    ├── EvidenceError         something that should be proof is not
    │   ├── MalformedEvidence  SignatureInvalid  ProofInvalid  LogRewritten  ClaimRefuted
    │   ├── TrustRootInvalid  Unverifiable  KeyUnsafe
    └── Interrupted           Ctrl-C; nothing was left half-changed

Errors carry plain data only (strings, numbers, lists): they can be logged, sent as JSON and compared.
Surprises are exceptions; judgements (Ruling, verdicts) are values.
"""

from __future__ import annotations

from typing import ClassVar

Plain = str | int | float | bool | None | list[str]


class ExpungeError(Exception):
    """Something went wrong that expunge knows about."""

    code: ClassVar[str] = "error"
    hint: ClassVar[str] = "See the documentation of this error code."
    http_status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str = "", /, *, hint: str = "", **facts: Plain) -> None:
        self.message = message or (self.__class__.__doc__ or "").strip()
        self.advice = hint or self.hint
        self.facts: dict[str, Plain] = facts
        super().__init__(self.message)

    def as_dict(self) -> dict[str, Plain | dict[str, Plain]]:
        """Return the error as JSON-able data: code, message, hint, exit code and facts."""
        return {
            "code": self.code,
            "message": self.message,
            "hint": self.advice,
            "exit_code": self.exit_code,
            "facts": self.facts,
        }

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.message, self.advice, self.facts))


def _rebuild(kind: type[ExpungeError], message: str, hint: str, facts: dict[str, Plain]) -> ExpungeError:
    return kind(message, hint=hint, **facts)


class BadInput(ExpungeError):
    """What was asked cannot be done as asked."""

    code = "bad-input"
    hint = "Correct the input and try again; nothing was changed."
    http_status = 422
    exit_code = 2


class UnknownRecord(BadInput):
    """A record id is not in the training data."""

    code = "unknown-record"
    hint = "Check the ids: they may be misspelt, or already forgotten. Nothing was changed."
    http_status = 404
    exit_code = 10


class UnknownSubject(BadInput):
    """The subject owns no record in the training data."""

    code = "unknown-subject"
    hint = "Check the subject's identifier, or that the subject was not forgotten already. Nothing was changed."
    http_status = 404
    exit_code = 11


class DuplicateId(BadInput):
    """Two records carry the same id."""

    code = "duplicate-id"
    hint = "Give every record an id of its own (or leave ids out, and rows are numbered)."
    http_status = 409
    exit_code = 12


class NothingLeft(BadInput):
    """Forgetting this would leave no record to keep."""

    code = "nothing-left"
    hint = "A model of no records is not a model: retire the deployment instead."
    http_status = 409
    exit_code = 13


class ClassVanished(BadInput):
    """Forgetting this would remove the last record of a class."""

    code = "class-vanished"
    hint = "Declare the classes when training (--class, classes=[...]) if the model must keep a class without records."
    http_status = 409
    exit_code = 14


class MissingColumn(BadInput):
    """A named column is not in the table."""

    code = "missing-column"
    hint = "The columns that exist are listed in the message; names are case-sensitive."
    exit_code = 15


class BadTarget(BadInput):
    """The target column cannot be learnt."""

    code = "bad-target"
    hint = "Drop or fill the rows without a target, and check that there are at least two classes."
    exit_code = 16


class BadData(BadInput):
    """The data cannot be used."""

    code = "bad-data"
    hint = "Fix the rows or columns named in the message."
    exit_code = 17


class TooLarge(BadInput):
    """A limit of exact integer arithmetic would be passed."""

    code = "too-large"
    hint = "The message says which limit; split the data or use another learner."
    exit_code = 18


class UnknownName(BadInput):
    """No such learner, unlearner, probe, attack or screen."""

    code = "unknown-name"
    hint = "`expunge catalog` lists every name."
    http_status = 404
    exit_code = 19


class NotFitted(BadInput):
    """The estimator has not been fitted yet."""

    code = "not-fitted"
    hint = "Call fit first."
    exit_code = 20


class Refused(ExpungeError):
    """The policy or the planner says no, with reasons."""

    code = "refused"
    http_status = 409
    exit_code = 30


class RequestRefused(Refused):
    """A screen refused the request."""

    code = "request-refused"
    hint = "The reasons are in the message; the refusal is recorded with a receipt of its own."
    exit_code = 31


class RequestHeld(Refused):
    """A screen holds the request for a human."""

    code = "request-held"
    hint = "A person must decide: run the command again with --approve to accept what the screen held."
    exit_code = 32


class NoPlan(Refused):
    """No unlearner gives the guarantee asked for, in time."""

    code = "no-plan"
    hint = "Ask for a weaker guarantee, allow more time, or read the reasons beside each option."
    exit_code = 33


class Unsupported(Refused):
    """This learner or model cannot do what was asked."""

    code = "unsupported"
    hint = "The message says why, and what to use instead."
    http_status = 422
    exit_code = 34


class StoreError(ExpungeError):
    """Something is wrong with the store's directory."""

    code = "store-error"
    exit_code = 40


class StoreMissing(StoreError):
    """There is no store here."""

    code = "store-missing"
    hint = "Create one with `expunge train DATA --target COLUMN STORE`."
    http_status = 404
    exit_code = 41


class StoreExists(StoreError):
    """There is already something here."""

    code = "store-exists"
    hint = "Choose a directory that does not exist or is empty."
    http_status = 409
    exit_code = 42


class StoreVersion(StoreError):
    """The store was written by another version of expunge."""

    code = "store-version"
    hint = "Open it with the version named in the message, or train a new store."
    http_status = 409
    exit_code = 43


class StoreBusy(StoreError):
    """Another process uses the store."""

    code = "store-busy"
    hint = "Wait until the other process has finished; the message names it."
    http_status = 423
    exit_code = 44


class StoreFull(StoreError):
    """The disk is full, or the store may not be written."""

    code = "store-full"
    hint = "Free space (or rights) and run the same command again; nothing was left half-changed."
    http_status = 507
    exit_code = 45


class StoreDamaged(StoreError):
    """A file of the store is missing or altered."""

    code = "store-damaged"
    hint = "Restore the store from a backup; do not go on with it."
    exit_code = 46


class StoreUnfinished(StoreError):
    """A request was interrupted and waits to be finished."""

    code = "store-unfinished"
    hint = "Run `expunge forget STORE --resume` to finish it."
    http_status = 409
    exit_code = 47


class EvidenceError(ExpungeError):
    """Something that should be proof is not."""

    code = "evidence-error"
    hint = "Do not rely on it. Ask the issuer for the receipt again, and compare with an earlier copy."
    http_status = 422
    exit_code = 1


class MalformedEvidence(EvidenceError):
    """A receipt, proof, note or key is not well-formed."""

    code = "malformed-evidence"


class SignatureInvalid(EvidenceError):
    """A signature does not verify under the pinned key."""

    code = "signature-invalid"


class ProofInvalid(EvidenceError):
    """A Merkle proof does not lead to the signed root."""

    code = "proof-invalid"


class LogRewritten(EvidenceError):
    """The log is not an extension of what was seen before."""

    code = "log-rewritten"
    hint = "Keep both checkpoints: together they prove that the operator rewrote the log."


class ClaimRefuted(EvidenceError):
    """A statement claims more than its evidence supports."""

    code = "claim-refuted"


class TrustRootInvalid(EvidenceError):
    """The trust root (pinned keys and policy) cannot be used."""

    code = "trust-root-invalid"
    hint = "Check the file given with --trust; get it from a channel that the provider does not control."
    exit_code = 2


class Unverifiable(EvidenceError):
    """Not refuted, but not verified either: something needed is missing."""

    code = "unverifiable"
    hint = "The message names what is missing (a key, a cosignature); get it and verify again."
    exit_code = 3


class KeyUnsafe(EvidenceError):
    """A private key file may be read by others, or cannot be unlocked."""

    code = "key-unsafe"
    hint = "chmod 600 the key file, and give its passphrase."
    exit_code = 2


class Interrupted(ExpungeError):
    """Interrupted; nothing was left half-changed."""

    code = "interrupted"
    hint = "Run the same command again; work that can be resumed is resumed."
    http_status = 503
    exit_code = 130


def all_errors() -> tuple[type[ExpungeError], ...]:
    """Return every error class, parents first, in the order of the tree."""
    found: list[type[ExpungeError]] = []
    pending: list[type[ExpungeError]] = [ExpungeError]
    while pending:
        kind = pending.pop(0)
        found.append(kind)
        pending.extend(k for k in kind.__subclasses__() if k.__module__ == __name__)
    return tuple(found)
