"""``check_pipeline``: what in a scikit-learn pipeline is outside the exactness guarantee."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sklearn.utils import get_tags

from expunge.models.estimators.forgetful import Forgetful


def check_pipeline(pipeline: Any) -> tuple[str, ...]:
    """Return what in a pipeline learns from data and is outside the exactness guarantee; empty = nothing is.

    Args:
        pipeline: a scikit-learn ``Pipeline``, possibly with a ``ColumnTransformer`` or ``FeatureUnion`` inside.

    Returns:
        ``step (Class)`` of each, nested steps as ``outer/inner``.
    """
    return tuple(_outside("", pipeline))


def _outside(path: str, part: Any) -> Iterable[str]:
    if part is None or isinstance(part, str | Forgetful):
        return
    inner = next((getattr(part, n) for n in ("steps", "transformers", "transformer_list") if hasattr(part, n)), None)
    if inner is None:
        if get_tags(part).requires_fit:
            yield f"{path or 'pipeline'} ({type(part).__name__})"
        return
    for name, step, *_ in inner:
        yield from _outside(f"{path}/{name}" if path else name, step)
