"""Ctrl-C in disguise: inside a compiled kernel it surfaces as another error that it is the cause of."""

from __future__ import annotations


def was_interrupted(error: BaseException | None) -> bool:
    """Say whether an error is, or was caused by, Ctrl-C.

    >>> try:
    ...     raise SystemError from KeyboardInterrupt()
    ... except SystemError as error:
    ...     was_interrupted(error)
    True
    """
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False
