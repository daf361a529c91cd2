"""The five roles, one verb each, and the few abilities that are asked for by type: the whole vocabulary on one page.

==========  =========  ===============================================
role        verb       from → to
==========  =========  ===============================================
Learner     fit        Dataset, Key → Model
Unlearner   unlearn    Deployment, ForgetRequest → Outcome
Probe       measure    Case → Evidence…
Attack      run        World → Evidence…
Screen      judge      ForgetRequest, Deployment → Ruling
==========  =========  ===============================================

A role is a Protocol; implementations are final frozen dataclasses whose fields are hyper-parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from expunge.core.accountant import Budget, Ledger
    from expunge.core.canonical import Arrays
    from expunge.core.dataset import Dataset
    from expunge.core.deployment import Case, Deployment, Outcome, Prediction
    from expunge.core.evidence import Evidence
    from expunge.core.guarantee import Guarantee
    from expunge.core.policy import Policy
    from expunge.core.request import ForgetRequest, Id
    from expunge.core.ruling import Ruling
    from expunge.core.seeds import Key

Floats = npt.NDArray[np.float64]
Progress = Callable[[int, int], None]
"""Called with (done, total) while long work goes on; raising from it stops the work and changes nothing."""


@runtime_checkable
class Model(Protocol):
    """Something learnt. Never changed in place by an unlearner."""

    def losses(self, data: Dataset) -> Floats:
        """Return the loss of each record, shape (n,), in nats (squared error for number targets)."""
        ...

    def state(self) -> Arrays:
        """Return everything that predicts, name → array; canonical: equal models give equal arrays."""
        ...

    def digest(self) -> str:
        """Return the hex digest of `state` (spec X07)."""
        ...


@runtime_checkable
class Learner(Protocol):
    """Learns a model; a pure function of the key and the set of records."""

    def fit(self, data: Dataset, key: Key, progress: Progress | None = None) -> Model:
        """Return the model of the records, equal for any order of them."""
        ...


@runtime_checkable
class Unlearner(Protocol):
    """Takes records out of a deployment's model; the deployment itself is never touched."""

    def promise(self, deployment: Deployment) -> Guarantee:
        """Return the guarantee that `unlearn` would come with.

        Raises:
            Unsupported: this unlearner cannot serve this deployment (the reason goes into the plan).
        """
        ...

    def predict_cost(self, deployment: Deployment, request: ForgetRequest) -> Prediction:
        """Return what the run will cost, without changing anything."""
        ...

    def unlearn(self, deployment: Deployment, request: ForgetRequest, progress: Progress | None = None) -> Outcome:
        """Return the new deployment, the guarantee, and what it cost."""
        ...


@runtime_checkable
class Probe(Protocol):
    """Measures something about a case."""

    def measure(self, case: Case) -> Sequence[Evidence]:
        """Return the measurements; what cannot be measured is said (`Evidence.missing`), never left out."""
        ...


@runtime_checkable
class Draws(Protocol):
    """A probe that can hand over what a report draws, from the run that measures."""

    def drawing(self, to: Callable[[Any], None]) -> Probe:
        """Return the probe that gives its curves to `to` whenever it measures."""
        ...


@runtime_checkable
class Attack(Protocol):
    """Plays an adversary inside a world that grants only what this adversary may touch."""

    def run(self, world: Any) -> Sequence[Evidence]:
        """Return the measurements, benign twin and control beside them."""
        ...


@runtime_checkable
class Screen(Protocol):
    """Judges a request before anything is forgotten."""

    def judge(self, request: ForgetRequest, deployment: Deployment, policy: Policy) -> Ruling:
        """Return accept, hold or refuse, with reasons."""
        ...


@runtime_checkable
class Forgets(Protocol):
    """A model that can give the model without some records, exactly."""

    def without(self, ids: Iterable[Id]) -> Model:
        """Return a new model, equal to one learnt without these records; self is untouched.

        Raises:
            UnknownRecord, NothingLeft, ClassVanished: nothing was changed.
        """
        ...

    def plan(self, ids: Sequence[Id]) -> Prediction:
        """Return what `without` would cost; changes nothing."""
        ...


@runtime_checkable
class Learns(Protocol):
    """A model that can give the model of more records, exactly: the mirror of `Forgets`."""

    def adding(self, data: Dataset) -> Model:
        """Return a new model, equal to one learnt from these records as well; self is untouched.

        Args:
            data: records with the columns and the target of those learnt from.

        Raises:
            DuplicateId: a record is known already; nothing was changed.
            BadData: other columns.
        """
        ...


@runtime_checkable
class Certifies(Protocol):
    """A model that hides a proven residual of what was taken out of it in noise, and keeps the ledger of it."""

    @property
    def ledger(self) -> Ledger:
        """Every version so far."""
        ...

    def certificate(self, budget: Budget, again: bool = False) -> Guarantee:
        """Return the promise that this version keeps at a budget, or (`again`) would after reading the data once more.

        Certified, or with a public key empirical: then anybody can draw the noise again.

        Raises:
            Unsupported: it does not keep it.
        """
        ...

    def residual(self) -> tuple[float, float]:
        """Return proven bounds from below and above on what the ledger calls its residual, measured now.

        The gradient's norm of a removal, the distance to retraining of a trajectory; where it cannot be measured, 0
        and what the ledger says.
        """
        ...


@runtime_checkable
class Removes(Certifies, Protocol):
    """A model that certifies, and removes records by steps of its own that a budget bounds."""

    def removing(self, ids: Iterable[Id], budget: Budget, passes: int = 20) -> Model:
        """Return a new model without these records, within the budget; self is untouched.

        Raises:
            Unsupported: the budget cannot be kept with so many passes over the data; nothing was changed.
            UnknownRecord, NothingLeft, ClassVanished: nothing was changed.
        """
        ...

    def plan_removal(self, ids: Sequence[Id], budget: Budget, passes: int = 20) -> Prediction:
        """Return what `removing` would cost; changes nothing."""
        ...


@runtime_checkable
class LeavesOut(Protocol):
    """A model that predicts each of some records as if it had not learnt it, without learning again."""

    def leave_out(self, ids: Sequence[Id]) -> Floats:
        """Return the logits (of numbers: the values) of each record by the model without it, shape (m, k)."""
        ...


@runtime_checkable
class Promises(Protocol):
    """A model that says which guarantee its own forgetting comes with."""

    def guarantee(self) -> Guarantee:
        """Return the promise that `Forgets.without` keeps, with its grade, assumptions and what it covers."""
        ...


@runtime_checkable
class Remembers(Protocol):
    """A model whose memory (what lets it forget again) is worth saving beside its state."""

    def memory(self) -> Arrays:
        """Return the memory, name → array; canonical like `Model.state`."""
        ...


@runtime_checkable
class Weighs(Protocol):
    """A model that says how much memory it takes."""

    @property
    def nbytes(self) -> int:
        """Bytes of its own arrays: what predicts, and what lets it forget again."""
        ...


@runtime_checkable
class Predicts(Protocol):
    """A classifier."""

    def logits(self, data: Dataset) -> Floats:
        """Return unnormalised log-probabilities, shape (n, k)."""
        ...


@runtime_checkable
class Penultimate(Protocol):
    """A model that shows how it sees records."""

    def features(self, data: Dataset) -> Floats:
        """Return what the last layer is given, shape (n, d)."""
        ...


@runtime_checkable
class Continues(Protocol):
    """A learner that can go on training a model: what probes of relearning need."""

    def going_on(self, model: Any, data: Dataset, n_steps: int, key: Key) -> Model:
        """Return the model after more steps on these records; the one given is untouched."""
        ...


@runtime_checkable
class Stack(Protocol):
    """Several models of one learner, asked together."""

    def __len__(self) -> int: ...

    def logits(self, data: Dataset) -> npt.NDArray[np.float32]:
        """Return unnormalised log-probabilities, shape (M, n, k)."""
        ...

    def models(self) -> Sequence[Model]:
        """Return the models by themselves."""
        ...


@runtime_checkable
class FitsMany(Protocol):
    """A learner that learns many models at once, cheaper than one by one, with the same results."""

    def fit_many(
        self,
        data: Dataset,
        membership: npt.NDArray[np.bool_],
        keys: Sequence[Key],
        progress: Progress | None = None,
    ) -> Stack:
        """Return M models.

        Args:
            data: the universe of records, n.
            membership: which records each model learns from, shape (M, n).
            keys: of each model.
            progress: called with (steps done, steps).

        Raises:
            Unsupported: this learner's models cannot be learnt together.
        """
        ...


@runtime_checkable
class UnlearnsMany(Protocol):
    """An unlearner that treats many models at once."""

    def unlearn_many(
        self,
        stack: Stack,
        data: Dataset,
        roles: tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]],
        keys: Sequence[Key],
        progress: Progress | None = None,
    ) -> Stack:
        """Return the M models, unlearned.

        Args:
            stack: the models before; untouched.
            data: the universe of records, n.
            roles: which records each model forgets, and which it keeps, each of shape (M, n).
            keys: of each model, as it was fitted with.
            progress: called with (steps done, steps).

        Raises:
            Unsupported: these models cannot be treated together.
        """
        ...


@runtime_checkable
class Restores(Protocol):
    """A learner that can rebuild its model from saved arrays."""

    def restore(self, arrays: Arrays, data: Dataset, key: Key) -> Model:
        """Return the model that gave these arrays (state, and memory where it has one).

        Raises:
            StoreDamaged: the arrays do not fit the data or the learner.
        """
        ...


@runtime_checkable
class Prepares(Protocol):
    """A learner that has something to get ready once, before fits are timed (compiled kernels)."""

    def prepare(self, say: Callable[[str], None]) -> None:
        """Get ready; say what is going on if it takes more than a second."""
        ...
