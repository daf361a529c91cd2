"""``replay``: learn a model again from data, key opening and code, and hold its digest against what was stated.

The auditor's check of an exact promise: it needs no floating-point tolerance and no trust in the provider's machine.

Source: spec X12, T14 (level L2).
"""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np

from expunge.core.canonical import json_digest, sha256
from expunge.core.code import code_digest
from expunge.core.dataset import Dataset
from expunge.core.errors import ClaimRefuted, ProofInvalid, Unverifiable
from expunge.core.guarantee import Guarantee
from expunge.core.models import exactly
from expunge.core.roles import Learner, Model, Progress, Promises
from expunge.core.seeds import Key
from expunge.fulfilment.attest import environment
from expunge.fulfilment.commitments import Commitments
from expunge.trust.manifest import record_key
from expunge.trust.predicate import Unlearning

SHARED_CODE = "The code that learnt again is the provider's: a defect in it would be repeated here, and not be seen."
SAME_LIBRARIES = (
    "The promise is of equal bits under the same numerical libraries (bits-here), and these are the same: the replay is"
    " independent of the provider's machine, not of its libraries."
)
OTHER_LIBRARIES = "The numerical libraries are not those of the statement, and the bits are equal all the same."
NO_STATEMENT = "Compared with a saved model, not with a signed statement: nobody has vouched for the digest."


@dataclass(frozen=True)
class Given:
    """What the auditor was given to learn again from.

    Attributes:
        learner: the learner, by the recipe of the opening.
        data: the kept records.
        key: the opened key.
        commitments: nonces and secret that bind the records to the roots of a statement; None: not given.
    """

    learner: Learner
    data: Dataset
    key: Key
    commitments: Commitments | None = None


@dataclass(frozen=True)
class Replayed:
    """A replay that held.

    Attributes:
        digest: of the model that was learnt again; equal to the one stated.
        n_records: how many records it was learnt from.
        fit_s: how long that took, in seconds.
        n_threads: how many threads were allowed; None: as many as there are.
        grade: of the exact promise (``bits``, ``bits-here``).
        key_opened: whether the key is the one that a signed statement commits to.
        records_bound: whether the records are those of the statement's root.
        notes: what this replay does not show.
    """

    digest: str
    n_records: int
    fit_s: float
    n_threads: int | None
    grade: str | None
    key_opened: bool
    records_bound: bool
    notes: tuple[str, ...]

    def lines(self) -> list[str]:
        """Return the result for people."""
        threads = "all threads" if self.n_threads is None else f"{self.n_threads} thread(s)"
        told = [
            f"Learnt again from {self.n_records:,} records in {self.fit_s:.2f} s ({threads}): the same digest.",
            f"digest  {self.digest}",
        ]
        told += ["The key is the one that the statement commits to."] if self.key_opened else []
        told += ["The records are those of the statement's root."] if self.records_bound else []
        return [*told, *self.notes]


def replay(given: Given, expected: str, *, n_threads: int | None = None, progress: Progress | None = None) -> Replayed:
    """Learn again and compare with the digest of a saved model.

    Raises:
        ClaimRefuted: another digest.
    """
    model, fit_s = _learnt(given, n_threads, progress)
    grade = _grade(model)
    if model.digest() != expected:
        raise ClaimRefuted(
            f"the model learnt again has the digest {model.digest()}, not {expected}",
            hint=_why_not(grade),
        )
    here = (SAME_LIBRARIES,) if grade == "bits-here" else ()
    notes = (NO_STATEMENT, SHARED_CODE, *here)
    return Replayed(model.digest(), len(given.data), fit_s, n_threads, grade, False, False, notes)


def replay_statement(
    given: Given, said: Unlearning, *, n_threads: int | None = None, progress: Progress | None = None
) -> Replayed:
    """Learn again and compare with what a verified receipt states.

    Args:
        given: data, key and learner, opened by the provider.
        said: the statement of a receipt that `expunge.trust.verify` has accepted.
        n_threads: threads for the fit; any number has to give the same bits.
        progress: of the fit.

    Raises:
        Unverifiable: the statement promises no equal bits, or these are not its records, learner or code.
        ProofInvalid: the key or the records are not those that were committed to.
        ClaimRefuted: everything is as stated, but the digest.
    """
    check_given(given, said)
    model, fit_s = _learnt(given, n_threads, progress)
    (change, *_), grade = said.scope.models, said.guarantee.grade
    same_code = said.method.code_digest == code_digest()
    same_libraries = said.method.environment_digest == json_digest(environment())
    if model.digest() != change.after:
        if not same_code:
            raise Unverifiable(
                "the digest differs, and so does the code: it is not known which of the two is to blame",
                hint="Install the version of expunge that the statement was made with, and replay again.",
            )
        if grade != "bits" and not same_libraries:
            raise Unverifiable(
                "the digest differs, and so do the numerical libraries, under which alone equal bits are promised",
                hint="Replay with the libraries of the statement's environment.",
            )
        raise ClaimRefuted(
            f"learnt again, the model has the digest {model.digest()}; the statement says {change.after}",
            hint="Keep the opening and the receipt: together they show that the statement is wrong.",
        )
    notes = [SHARED_CODE]
    if not same_code:
        notes.append("The code differs from the statement's, and gives equal bits all the same.")
    if grade == "bits-here":
        notes.append(SAME_LIBRARIES if same_libraries else OTHER_LIBRARIES)
    if given.key.is_public:
        notes.append("The key is public: anybody could have known its draws.")
    bound = given.commitments is not None
    return Replayed(model.digest(), len(given.data), fit_s, n_threads, grade, True, bound, tuple(notes))


def check_given(given: Given, said: Unlearning) -> None:
    """Refuse what is not the data, the key or the learner of a statement, before anything is learnt.

    Raises:
        Unverifiable, ProofInvalid: see `replay_statement`.
    """
    if said.guarantee.kind != "exact":
        raise Unverifiable(f"the receipt promises {said.guarantee.kind}, not equal bits: a replay shows nothing")
    told = said.method.parameters.get("learner")
    if told is not None and told != repr(given.learner):
        raise Unverifiable(f"the statement is about {told}, and the opening about {given.learner!r}")
    committed = said.method.seeds.get("key_commitment")
    if committed != given.key.commitment.hex():
        raise ProofInvalid("the key that was opened is not the one that the statement commits to")
    if given.commitments is not None:
        _check_records(given.data, given.commitments, said.data.d_after)


def _check_records(data: Dataset, commitments: Commitments, root: str) -> None:
    if commitments.d_map.root.hex() != root:
        raise Unverifiable(
            "these are not the records of the statement: the root of the data set is another",
            hint="Replay against the receipt of the last request, or with the records as they were then.",
        )
    digests = data.record_digests.tobytes()
    for row, value in enumerate(data.ids.tolist()):
        key = record_key(commitments.secret, str(value))
        made = sha256(b"expunge/record/v1\n", commitments.nonces.get(key, b""), digests[32 * row : 32 * row + 32])
        if commitments.records.get(key) != made:
            raise ProofInvalid("a record is not the one that was committed to")
    if len(data) != len(commitments.records):
        raise ProofInvalid(f"{len(commitments.records)} records were committed to, and {len(data)} were given")


def _learnt(given: Given, n_threads: int | None, progress: Progress | None) -> tuple[Model, float]:
    learner: Any = given.learner
    if n_threads is not None and is_dataclass(learner) and "n_jobs" in {f.name for f in fields(learner)}:
        learner = replace(learner, n_jobs=n_threads)  # type: ignore[type-var]  # no effect on its repr or its bits
    # the order in which records were stored must not matter either
    turned = given.data.take(np.random.default_rng(len(given.data)).permutation(len(given.data)))
    began = time.perf_counter()
    with _limited(n_threads):
        model: Model = learner.fit(turned, given.key, progress)
        model.digest()
    return model, time.perf_counter() - began


def _limited(n_threads: int | None) -> AbstractContextManager[Any]:
    if n_threads is None:
        return nullcontext()
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[Any] = threadpool_limits(n_threads)
    return limits


def _grade(model: Model) -> str | None:
    promise: Guarantee = model.guarantee() if isinstance(model, Promises) else exactly("bits-here")
    return promise.grade if promise.kind == "exact" else None


def _why_not(grade: str | None) -> str:
    if grade == "bits":
        return "Equal bits are promised on any machine: the model or the records were changed, or there is a defect."
    if grade == "bits-here":
        return "Equal bits are promised under the same numerical libraries and threads only: compare those first."
    return "This learner does not promise equal bits."
