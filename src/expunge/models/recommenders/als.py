"""``ImplicitAls``: matrix factorisation of implicit feedback in shards of users; a deletion learns one shard anew."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from expunge.core.dataset import Dataset
from expunge.core.deployment import Prediction
from expunge.core.errors import BadInput, StoreDamaged
from expunge.core.guarantee import Guarantee
from expunge.core.models import Identity, check_saved, exactly
from expunge.core.seeds import Key
from expunge.core.tiny_worlds import tiny_shop
from expunge.models.recommenders.answers import Shelf, interaction_losses, recommended
from expunge.models.recommenders.interactions import Ints, Taken, names_of

if TYPE_CHECKING:
    from expunge.core.canonical import Arrays
    from expunge.core.request import Id
    from expunge.core.roles import Floats, Progress

LIMITS = {"n_factors": 512, "sweeps": 1000, "n_shards": 4096}


@dataclass(frozen=True)
class ImplicitAls:
    """Weighted alternating least squares: a factor for each item, fitted to who took what and who did not.

    Item factors depend on everybody, so nobody can be taken out of them. Users are therefore put into shards by keyed
    hash, every shard has item factors of its own, and forgetting learns the shards anew that held the user. A user's
    factor is never kept: it is solved from the user's basket when asked for, in every shard, and scores are averaged.

    Attributes:
        n_factors: length of a factor.
        confidence: extra weight of an item that was taken, > 0 (α of the paper).
        penalty: on the squares of factors, > 0.
        sweeps: how often users and items are solved in turn.
        n_shards: shards of users; 1 = every deletion is a fit.
        at_least: a rating below this does not count as taken; None: every interaction counts.

    Guarantee: exact, grade ``bits-here``. All sums run in one order (users and items by name) without BLAS; the
        factors start from keyed draws of the items' names.
    Cost: fit O(sweeps · (z·f² + (n_users + n_shards·d)·f³)) for z interactions; forgetting one user 1/n_shards of that;
        forgetting an item touches every shard. 8·f·d bytes a shard.
    Source: spec XL10, XL03; Hu, Koren and Volinsky, "Collaborative filtering for implicit feedback datasets" (ICDM
        2008). Where we differ: an item is taken or not (no counts), and factors come from shards.
    """

    n_factors: int = 32
    confidence: float = 4.0
    penalty: float = 10.0
    sweeps: int = 10
    n_shards: int = 4
    at_least: float | None = None

    def prepare(self, say: Callable[[str], None]) -> None:
        """Compile the kernels (seconds, once), so that they are in nobody's timing; silent."""
        ImplicitAls(n_factors=2, sweeps=1, n_shards=1).fit(tiny_shop(0), Key.public(0)).recommend(0)

    def fit(self, data: Dataset, key: Key, progress: Progress | None = None) -> AlsModel:
        """Return the factors of these interactions.

        Raises:
            BadData: the records are not interactions.
        """
        self._check()
        began = time.perf_counter()
        taken = Taken.of(data, self.at_least)
        shards = self._learn(taken, key, range(self.n_shards), progress)
        times = time.perf_counter() - began
        return AlsModel(self, Identity.of(self, data, key), key, taken, tuple(shards.values()), times)

    def restore(self, arrays: Arrays, data: Dataset, key: Key) -> AlsModel:
        """Return the model that was saved: items are compared with the records', factors are taken as saved.

        Raises:
            StoreDamaged: the arrays are not those of this learner over these records.
        """
        self._check()
        taken = Taken.of(data, self.at_least)
        shards = []
        for number, (words, _, _) in enumerate(_split(taken, key, self.n_shards)):
            factors = np.asarray(arrays.get(f"shard/{number:04d}/factors", ()), np.float64)
            if factors.shape != (len(words), self.n_factors):
                raise StoreDamaged(f"the saved factors of shard {number} do not fit these records")
            shards.append(Shard(words, factors))
        model = AlsModel(self, Identity.of(self, data, key), key, taken, tuple(shards))
        check_saved(model, arrays)
        return model

    def _check(self) -> None:
        for name, most in LIMITS.items():
            value = getattr(self, name)
            if not isinstance(value, int) or not 1 <= value <= most:
                raise BadInput(f"{name} must be a whole number from 1 to {most}, not {value!r}")
        for name in ("confidence", "penalty"):
            value = getattr(self, name)
            if not (isinstance(value, int | float) and 0 < value < math.inf):
                raise BadInput(f"{name} must be a positive number, not {value!r}")
        if self.at_least is not None and not isinstance(self.at_least, int | float):
            raise BadInput(f"at_least must be a number or None, not {self.at_least!r}")

    def _learn(
        self, taken: Taken, key: Key, which: Iterable[int], progress: Progress | None = None
    ) -> dict[int, Shard]:
        """Return some shards of these interactions, learnt by themselves."""
        found, wanted = {}, set(which)
        for number, (words, starts, items) in enumerate(_split(taken, key, self.n_shards)):
            if number in wanted:
                found[number] = self._factorise(words, starts, items, key.child(f"als/{number}"))
                if progress is not None:
                    progress(len(found), len(wanted))
        return found

    def _factorise(self, words: tuple[str, ...], starts: Ints, items: Ints, key: Key) -> Shard:
        from expunge.models.kernels.items import start_factors, sweep

        things, users = np.empty((len(words), self.n_factors)), np.zeros((len(starts) - 1, self.n_factors))
        start_factors(key.words(words, "item"), things)
        owner = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        order = np.argsort(items, kind="stable")
        ends = np.searchsorted(items[order], np.arange(len(words) + 1))
        for _ in range(self.sweeps):
            sweep((starts, items, ends, owner[order]), float(self.confidence), float(self.penalty), users, things)
        if not np.isfinite(things).all():
            raise BadInput("the factors of these interactions are not numbers", hint="Take a larger penalty.")
        return Shard(words, things)


@dataclass(frozen=True, eq=False)
class Shard:
    """The items that the users of one shard took, d of them in the order of their bytes, and their factors (d, f)."""

    words: tuple[str, ...]
    factors: Floats


def _split(taken: Taken, key: Key, n_shards: int) -> Iterable[tuple[tuple[str, ...], Ints, Ints]]:
    """Yield of each shard: its items, where each user's begin, and the users' items among them."""
    people = taken.people
    home = key.words(people.tolist(), "owner") % np.uint64(n_shards)
    starts, items, _ = taken.baskets()
    sizes = np.diff(starts)
    for number in range(n_shards):
        mine = (home == number) & (sizes > 0)
        inside = items[np.repeat(mine, sizes)]
        used = np.unique(inside)
        ends = np.concatenate([[0], np.cumsum(sizes[mine])])
        yield tuple(taken.words[i] for i in used.tolist()), ends, np.searchsorted(used, inside)


@dataclass(frozen=True, eq=False)
class AlsModel:
    """The model of `ImplicitAls`.

    Attributes:
        learner: its hyper-parameters.
        identity: learner, schema and key commitment, for the digest.
        key: of the shards, and of where factors start.
        kept: the interactions.
        shards: item factors by shard.
        fit_s: seconds of the last fit.
    """

    learner: ImplicitAls
    identity: Identity
    key: Key
    kept: Taken = field(repr=False)
    shards: tuple[Shard, ...] = field(repr=False)
    fit_s: float = 0.0

    @property
    def data(self) -> Dataset:
        """The kept records."""
        return self.kept.source

    def taken(self) -> Taken:
        """Return the kept interactions."""
        return self.kept

    def shelf(self) -> Shelf:
        """Return the items that can be recommended: all that somebody took."""
        return self._shelf

    @cached_property
    def _shelf(self) -> Shelf:
        words = self.kept.words
        raters = np.bincount(self.kept.baskets()[1], minlength=len(words))
        return Shelf(words, np.arange(len(words)), raters, raters > 0)

    @cached_property
    def _starting(self) -> list[tuple[Ints, Floats]]:
        """Of each shard: where its items are on the shelf, and what the factor of any user is solved from."""
        from expunge.models.kernels.items import gram_of

        place = {word: i for i, word in enumerate(self.kept.words)}
        mine = [np.array([place[word] for word in shard.words], np.int64) for shard in self.shards]
        penalty = float(self.learner.penalty)
        return [(m, gram_of(shard.factors, penalty)) for m, shard in zip(mine, self.shards, strict=True)]

    def scores(self, history: Ints, less: Ints) -> Floats:
        """Return the score of every item for a history without each of some items (-1 = none), shape (m, d)."""
        from expunge.models.kernels.items import solve_row

        found = np.zeros((len(less), len(self.kept.words)))
        weight = float(self.learner.confidence)
        for shard, (mine, gram) in zip(self.shards, self._starting, strict=True):
            own = np.flatnonzero(np.isin(mine, history))
            user = np.zeros((len(less), self.learner.n_factors))
            for row, item in enumerate(less.tolist()):
                solve_row(gram, shard.factors, own[mine[own] != item], weight, user[row])
            found[:, mine] += user @ shard.factors.T
        return found / len(self.shards)

    def recommend(self, user: Id, k: int = 10, exclude_seen: bool = True) -> list[tuple[str, float]]:
        """Return the k best items for a user with their scores, best first."""
        return recommended(self, user, k, exclude_seen)

    def losses(self, data: Dataset) -> Floats:
        """Return the loss of each interaction given the user's other items, shape (n,), in nats."""
        return interaction_losses(self, data)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return what predicts: items and factors of every shard."""
        found: dict[str, npt.NDArray[Any]] = {}
        for number, shard in enumerate(self.shards):
            found[f"shard/{number:04d}/names"] = names_of(shard.words)
            found[f"shard/{number:04d}/factors"] = shard.factors
        return found

    def digest(self) -> str:
        """Return the hex digest of `state` (spec X07)."""
        return self.identity.digest(self.state())

    def guarantee(self) -> Guarantee:
        """Return exact, ``bits-here``."""
        return exactly("bits-here", "factors are compared under one build of the compiled kernels")

    def _touched(self, users: npt.NDArray[Any]) -> set[int]:
        homes = self.key.words(dict.fromkeys(users.tolist()), "owner") % np.uint64(self.learner.n_shards)
        return {int(home) for home in homes}

    def _relearned(self, taken: Taken, touched: set[int]) -> AlsModel:
        fresh = self.learner._learn(taken, self.key, touched)
        shards = tuple(fresh.get(number, shard) for number, shard in enumerate(self.shards))
        return replace(self, kept=taken, shards=shards)

    def without(self, ids: Iterable[Id]) -> AlsModel:
        """Return the model that never saw these interactions; self is untouched.

        Raises:
            UnknownRecord, NothingLeft: nothing was changed.
        """
        listed = list(ids)
        left, _ = self.kept.without(listed)
        if not listed:
            return self
        return self._relearned(left.settled(), self._touched(self.kept.source.only(listed).subjects))

    def adding(self, data: Dataset) -> AlsModel:
        """Return the model of these interactions as well; self is untouched.

        Raises:
            DuplicateId, BadData: nothing was changed.
        """
        return self._relearned(self.kept.joined(data)[0], self._touched(data.subjects))

    def plan(self, ids: Sequence[Id]) -> Prediction:
        """Return what `without` would cost; changes nothing."""
        self.kept.without(ids)
        hit, of = len(self._touched(self.kept.source.only(ids).subjects)), self.learner.n_shards
        seconds = self.fit_s * hit / of if self.fit_s else None
        return Prediction(
            seconds=seconds,
            p95_s=seconds and 2 * seconds,
            worst_s=seconds and 2 * self.fit_s,
            records_read=int(self.kept.n * hit / of),
            parts_touched=hit,
            parts=of,
            why=f"learns {hit} of {of} shards of users anew",
        )
