"""``check_pipeline``: what in a scikit-learn pipeline is outside the exactness guarantee."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sklearn.utils import get_tags

from expunge.core.errors import Unsupported
from expunge.models.estimators.forgetful import Forgetful

INSIDE = "Put the whole pipeline, with any estimator at its end, inside the shards: ShardedClassifier(pipeline)."
BY_TARGET = "Let each shard encode by its own target: ShardedClassifier(estimator, target_encode=[...])."


def check_pipeline(pipeline: Any) -> tuple[str, ...]:
    """Return what in a pipeline learns from data and is outside the exactness guarantee; empty = nothing is.

    Steps inside a `ShardedClassifier` or `ShardedRegressor` are inside the guarantee: they are fitted again with their
    shard.

    Args:
        pipeline: a scikit-learn ``Pipeline``, possibly with a ``ColumnTransformer`` or ``FeatureUnion`` inside.

    Returns:
        ``step (Class)`` of each, nested steps as ``outer/inner``.
    """
    return tuple(name for name, _ in _outside("", pipeline))


def require_exact(pipeline: Any) -> None:
    """Refuse a pipeline of which anything is outside the exactness guarantee.

    Args:
        pipeline: as for `check_pipeline`.

    Raises:
        Unsupported: naming what it is, and what to use instead.
    """
    found = list(_outside("", pipeline))
    by_target = [name for name, step in found if get_tags(step).target_tags.required and hasattr(step, "transform")]
    if by_target:
        said = "learns from the targets of all records, so every deletion would change every record"
        raise Unsupported(f"{by_target[0]} {said}: it cannot forget exactly", hint=BY_TARGET)
    if found:
        named = ", ".join(name for name, _ in found)
        raise Unsupported(f"outside the exactness guarantee, because it was fitted elsewhere: {named}", hint=INSIDE)


def _outside(path: str, part: Any) -> Iterable[tuple[str, Any]]:
    if part is None or isinstance(part, str | Forgetful):
        return
    inner = next((getattr(part, n) for n in ("steps", "transformers", "transformer_list") if hasattr(part, n)), None)
    if inner is None:
        if get_tags(part).requires_fit:
            yield f"{path or 'pipeline'} ({type(part).__name__})", part
        return
    for name, step, *_ in inner:
        yield from _outside(f"{path}/{name}" if path else name, step)
