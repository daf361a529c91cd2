"""Likeness of the inside of two models: distances of weights (M25) and linear CKA of features (M26), layer by layer.

Evidence, never proof: networks with other weights can be the same function, and the other way about a small distance
only says that little was changed. Distances mean something between models that started from the same draw alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from expunge.audit.battery.paired import Sheet
from expunge.audit.nulls import against_references
from expunge.core.canonical import Arrays
from expunge.core.errors import BadData, BadInput, Unsupported
from expunge.core.evidence import Evidence
from expunge.core.policy import AuditPolicy
from expunge.core.roles import Floats

PROVES_NOTHING: Final = (
    "Only for models that started from the same draw; a small distance proves nothing, and a large one may be harmless."
)


@dataclass(frozen=True)
class Distance:
    """How far one model's weights are from another's.

    Attributes:
        absolute: ‖θ_u − θ_r‖₂ over all real-valued arrays.
        relative: the same over ‖θ_r‖₂.
        by_layer: name of the array → (absolute, relative).
        n: values compared.
    """

    absolute: float
    relative: float
    by_layer: dict[str, tuple[float, float]]
    n: int


def distance(weights: Arrays, reference: Arrays) -> Distance:
    """Return the distance of weights, over all and array by array; arrays of whole numbers are left out.

    Args:
        weights: name → array.
        reference: the same names, with the same shapes.

    Raises:
        BadData: names or shapes differ, there are no real numbers, or one is not finite.
    """
    if weights.keys() != reference.keys():
        odd = ", ".join(sorted(weights.keys() ^ reference.keys()))
        raise BadData(f"the two models do not have the same arrays: {odd}")
    squares: dict[str, tuple[float, float]] = {}
    count = 0
    for name, ours in weights.items():
        theirs = reference[name]
        if np.shape(ours) != np.shape(theirs):
            raise BadData(f"{name} has shape {np.shape(ours)} in one model and {np.shape(theirs)} in the other")
        if np.asarray(ours).dtype.kind != "f":
            continue
        a, b = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
        squares[name] = float(((a - b) ** 2).sum()), float((b**2).sum())
        count += a.size
    gap, size = (sum(s[i] for s in squares.values()) for i in (0, 1))
    if not count or not np.isfinite(gap + size):
        raise BadData("the models have no real-valued arrays, or some value is not finite")
    return Distance(
        float(np.sqrt(gap)),
        _root(gap, size),
        {k: (float(np.sqrt(g)), _root(g, s)) for k, (g, s) in squares.items()},
        count,
    )


def _root(gap: float, size: float) -> float:
    if size == 0:
        return 0.0 if gap == 0 else float("inf")
    return float(np.sqrt(gap / size))


def cka(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Return the linear centred kernel alignment of two models' features on the same records: 1 = equal up to rotation.

    Args:
        first: shape (n, d).
        second: shape (n, e).

    Raises:
        BadInput: not the same records, fewer than two, or features that are the same for all.

    Source: Kornblith et al. (2019): ‖YᵀX‖² / (‖XᵀX‖ ‖YᵀY‖) of centred features; spec M26.
    """
    x, y = _centred(first), _centred(second)
    if len(x) != len(y) or len(x) < 2:
        raise BadInput(f"features are compared on the same two records or more, not {len(x)} and {len(y)}")
    if len(x) <= min(x.shape[1], y.shape[1]):
        a, b = x @ x.T, y @ y.T
        shared, own, other = float((a * b).sum()), float(np.linalg.norm(a)), float(np.linalg.norm(b))
    else:
        shared = float(np.linalg.norm(y.T @ x)) ** 2
        own, other = float(np.linalg.norm(x.T @ x)), float(np.linalg.norm(y.T @ y))
    if own * other == 0:
        raise BadInput("the features of a layer are the same for all records")
    return min(1.0, shared / (own * other))


def cka_by_layer(first: Arrays, second: Arrays) -> dict[str, float]:
    """Return the alignment of each layer that both models name, in the first one's order.

    Args:
        first: layer → features of shape (n, …), flattened per record.
        second: the same of the other model.
    """
    return {name: cka(first[name], second[name]) for name in first if name in second}


def _centred(features: npt.ArrayLike) -> Floats:
    x = np.asarray(features, np.float64)
    x = x.reshape(len(x), -1)
    return np.asarray(x - x.mean(axis=0), np.float64)


def evidence(
    models: Mapping[str, Sequence[Arrays]], references: Sequence[Arrays], policy: AuditPolicy
) -> list[Evidence]:
    """Return the relative distance of weights of each arm, beside that of each reference to the others.

    Args:
        models: ``before`` and ``after`` → the weights of their models, model i a partner of reference i.
        references: weights of the retrained models, three or more.
        policy: levels and seeds.

    Cost: each model is compared with each reference once.
    """
    found: list[Evidence] = []
    for world, states in models.items():
        name = f"likeness.weight_distance_excess@{world}"
        try:
            found.append(_excess(name, states, references, policy))
        except (BadData, BadInput, Unsupported) as error:
            found.append(Evidence.missing(name, error.message))
    return found


def _excess(name: str, states: Sequence[Arrays], references: Sequence[Arrays], policy: AuditPolicy) -> Evidence:
    if len(references) < len(states):
        raise Unsupported(f"{len(states)} models and {len(references)} references: each model needs a partner")

    ours = np.array([[distance(state, each).relative for each in references] for state in states])
    theirs = np.array([[distance(state, each).relative for each in references] for state in references])
    compared = against_references(
        [lambda others, row=row: float(row[others].mean()) for row in ours],  # type: ignore[misc]
        lambda j, others: float(theirs[j, others].mean()),
        len(references),
        partners=range(len(states)),
        symmetric=True,
    )
    excess = compared.estimate
    sheet = Sheet(policy, distance(states[0], references[0]).n)
    return sheet.write(
        name,
        "relative distance of weights to the references, less that of each reference to the others; "
        "95 % t from the null's spread (normal-assumed)",
        excess.interval(),
        len(states) + len(references),
        unit="values",
        null=compared.centred.null,
        p_value=compared.p_value("higher"),
        power=sheet.power(excess),
        note=PROVES_NOTHING,
    )
