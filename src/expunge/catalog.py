"""The menu: name → "module:Class", what it needs, one line of what it does. Plain strings, resolved when asked for.

Nothing registers itself and nothing is imported before it is used. Third parties add names through the entry-point
groups ``expunge.learners``, ``expunge.unlearners``, ``expunge.probes``, ``expunge.attacks`` and ``expunge.screens``;
a name of ours cannot be taken over.

>>> names("unlearner")[:2]
('native', 'retrain')
>>> build("unlearner", "retrain")
Retrain()
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal, get_args

from expunge.core.errors import BadInput, UnknownName, Unsupported
from expunge.core.guarantee import GuaranteeKind

Role = Literal["learner", "unlearner", "probe", "attack", "screen"]
ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True)
class Entry:
    """One line of the menu.

    Attributes:
        role: which role it plays (`expunge.core.roles`).
        name: how it is asked for.
        target: ``module:Class``.
        sentence: what it does, in one line.
        kind: the guarantee kind of an unlearner; None for other roles and for plug-ins.
        needs: the extra that must be installed; empty for none.
        origin: the distribution that brings it.
    """

    role: Role
    name: str
    target: str
    sentence: str
    kind: GuaranteeKind | None = None
    needs: str = ""
    origin: str = "expunge"


ENTRIES: tuple[Entry, ...] = (
    Entry("learner", "forest", "expunge.models.forest.learner:Forest", "A random forest, for classes or a number."),
    Entry(
        "learner",
        "boosting",
        "expunge.models.boosting.learner:Boosting",
        "Gradient boosting, for classes and for numbers.",
    ),
    Entry("learner", "ridge", "expunge.models.linear.ridge:Ridge", "Ridge regression, for numbers and for classes."),
    Entry(
        "learner",
        "discriminant",
        "expunge.models.linear.discriminant:Discriminant",
        "Linear discriminants, for classes.",
    ),
    Entry("learner", "components", "expunge.models.linear.components:PrincipalComponents", "Principal components."),
    Entry("learner", "bayes", "expunge.models.bayes.naive:NaiveBayes", "Naive Bayes on integer counts, for classes."),
    Entry("learner", "sum-bayes", "expunge.models.bayes.sums:SumBayes", "Gaussian and other naive Bayes, for classes."),
    Entry("learner", "neighbours", "expunge.models.neighbours:Neighbours", "Neighbours, for classes and numbers."),
    Entry("learner", "clusters", "expunge.models.clusters.kmeans:KMeans", "Clusters by k-means; needs no target."),
    Entry(
        "learner",
        "divided-clusters",
        "expunge.models.clusters.divided:DividedKMeans",
        "Clusters by k-means of the centres of parts, so that no deletion costs more than its part; needs no target.",
    ),
    Entry("learner", "index", "expunge.models.index.flat:FlatIndex", "Nearest vectors, all of them; needs no target."),
    Entry(
        "learner",
        "hashed-index",
        "expunge.models.index.flat:HashedIndex",
        "Nearest vectors among those in keyed buckets; needs no target.",
    ),
    Entry(
        "learner",
        "graph-index",
        "expunge.models.index.graph:GraphIndex",
        "Nearest vectors by small graphs that are built anew, never marked; needs no target.",
        needs="index",
    ),
    Entry(
        "learner",
        "ease",
        "expunge.models.recommenders.items:Ease",
        "Recommendations by linear weights; needs interactions.",
    ),
    Entry(
        "learner",
        "item-neighbours",
        "expunge.models.recommenders.items:ItemNeighbours",
        "Recommendations by what is taken together; needs interactions.",
    ),
    Entry(
        "learner",
        "als",
        "expunge.models.recommenders.als:ImplicitAls",
        "Recommendations by factors, in shards of users; needs interactions.",
    ),
    Entry("learner", "sgc", "expunge.models.graph.sgc:Sgc", "A linear classifier of the nodes of a graph."),
    Entry(
        "learner",
        "sharded",
        "expunge.models.sharded.learner:Sharded",
        "Any learner in shards, for classes and numbers.",
    ),
    Entry(
        "learner",
        "network",
        "expunge.models.network:Network",
        "A neural network, for classes and numbers; forgets by learning again, or inside `sharded`.",
        needs="torch",
    ),
    Entry(
        "learner",
        "logistic",
        "expunge.models.logistic.learner:Logistic",
        "Logistic regression with noise, for classes.",
    ),
    Entry(
        "unlearner",
        "native",
        "expunge.unlearners.exact.native:Native",
        "The model's own exact deletion: the same bits as retraining, in a fraction of the time.",
        kind="exact",
    ),
    Entry(
        "unlearner",
        "retrain",
        "expunge.unlearners.exact.retrain:Retrain",
        "Learn again from the kept records: always possible, always the last resort.",
        kind="exact",
    ),
    Entry(
        "unlearner",
        "removal",
        "expunge.unlearners.certified.removal:Removal",
        "Certified removal: Newton steps, a proven bound on what is left, and noise that hides it.",
        kind="certified",
    ),
    Entry("probe", "utility", "expunge.audit.utility:Utility", "How well the model works, before and after."),
    Entry("probe", "likeness", "expunge.audit.likeness:Likeness", "How like the retrained model the result is."),
    Entry("probe", "membership", "expunge.audit.membership:Membership", "Whether the forgotten records still show."),
    Entry("probe", "cost", "expunge.audit.cost:CostProbe", "What unlearning took, beside retraining."),
    Entry("probe", "law", "expunge.audit.law:Law", "Whether forgetting and refitting have one law, over fresh keys."),
    Entry("probe", "ghosts", "expunge.audit.ghosts:Ghosts", "Whether forgotten vectors still lie in what is written."),
    Entry(
        "attack",
        "split-value",
        "expunge.threats.split_value:SplitValue",
        "Looks for a deleted person's values among the points at which the model changes its mind.",
    ),
    Entry(
        "screen",
        "ownership",
        "expunge.defences.screens.ownership:Ownership",
        "Holds requests that name records of several subjects on nobody's authority.",
    ),
    Entry("screen", "quota", "expunge.defences.screens.quota:Quota", "Holds requests for a large share of the data."),
)


def _own(role: Role) -> tuple[Entry, ...]:
    return tuple(entry for entry in ENTRIES if entry.role == role)


def _plugin(role: Role, point: EntryPoint) -> Entry:
    origin = point.dist.name if point.dist is not None else "an installed package"
    return Entry(role, point.name, point.value, f"From {origin}.", origin=origin)


@cache
def _plugins(role: Role) -> tuple[Entry, ...]:
    """Return what other distributions offer, without importing any of it; names that clash are left out, aloud."""
    found = {entry.name: entry for entry in _own(role)}
    ours = len(found)
    for point in sorted(entry_points(group=f"expunge.{role}s"), key=lambda p: (p.name, p.value)):
        entry = _plugin(role, point)
        if found.setdefault(entry.name, entry).target != entry.target:
            warnings.warn(
                f"{role} {entry.name!r} of {entry.origin} is refused: the name is taken by {found[entry.name].origin}",
                RuntimeWarning,
                stacklevel=3,
            )
    return tuple(found.values())[ours:]


def entries(role: Role | None = None) -> tuple[Entry, ...]:
    """Return the menu, ours first: of one role, or of all.

    Raises:
        UnknownName: there is no such role.
    """
    if role is not None and role not in ROLES:
        raise UnknownName(f"there is no role {role!r}{_near(role, ROLES)}", hint=f"Roles are {', '.join(ROLES)}.")
    return tuple(entry for r in ([role] if role else ROLES) for entry in (*_own(r), *_plugins(r)))


def names(role: Role) -> tuple[str, ...]:
    """Return the names of a role, in the order of the menu."""
    return tuple(entry.name for entry in entries(role))


def find(role: Role, name: str) -> Entry:
    """Return one line of the menu.

    Raises:
        UnknownName: naming close matches, if any.
    """
    menu = {entry.name: entry for entry in entries(role)}
    if name not in menu:
        raise UnknownName(f"there is no {role} {name!r}{_near(name, menu)}")
    return menu[name]


def resolve(role: Role, name: str) -> type[Any]:
    """Import the class behind a name.

    Raises:
        UnknownName: no such name.
        Unsupported: what it needs is not installed.
    """
    entry = find(role, name)
    module, _, attribute = entry.target.partition(":")
    try:
        found: type[Any] = getattr(import_module(module), attribute)
    except ImportError as error:
        lost = error.name or module
        hint = f"pip install 'expunge[{entry.needs}]'" if entry.needs else f"Reinstall {entry.origin}."
        raise Unsupported(f"{role} {name!r} needs {lost}, which is not installed", hint=hint, missing=lost) from error
    except AttributeError as error:
        raise Unsupported(f"{role} {name!r} should be {entry.target}, which does not exist") from error
    return found


def build(role: Role, name: str, **params: Any) -> Any:
    """Build what a name stands for, with hyper-parameters.

    Raises:
        UnknownName, Unsupported: as `resolve`.
        BadInput: a hyper-parameter that it does not have, lacks, or does not accept.
    """
    kind = resolve(role, name)
    known = [p for p in inspect.signature(kind).parameters if p != "self"]
    odd = [p for p in params if p not in known]
    if odd:
        listed = ", ".join(known) or "none"
        raise BadInput(f"{role} {name!r} has no parameter {odd[0]!r}{_near(odd[0], known)}", hint=f"It has: {listed}.")
    try:
        return kind(**params)
    except (TypeError, ValueError) as error:
        raise BadInput(f"{role} {name!r} cannot be built: {error}") from error


def _near(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(str(name), list(known), n=2)
    return f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
