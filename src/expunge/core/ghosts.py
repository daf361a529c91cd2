"""``ghosts``: which vectors still lie, number for number, in arrays of a model, an index or a file."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from expunge.core.canonical import Arrays

FORMS = ("float64", "float32", "float16", "int16", "int8", "uint8")
"""How an index may hold the numbers of a vector."""


def ghosts(arrays: Arrays, vectors: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return which vectors' numbers still lie in arrays (of an index, a model, a file), shape (n,).

    Args:
        arrays: name → array, as `Model.state` gives, or the bytes of a file as one array.
        vectors: shape (n, d); looked for as they are, at unit length, and in the types that indexes use.

    A vector that is found was not removed. One that is not found may still lie there in another form.
    """
    haystacks = [np.ascontiguousarray(array).tobytes() for array in arrays.values()]
    lengths = np.sqrt((vectors.astype(np.float64) ** 2).sum(axis=1, keepdims=True))
    unit = np.divide(vectors, lengths, out=np.zeros(vectors.shape), where=lengths > 0)
    found = np.zeros(len(vectors), bool)
    for values in (np.asarray(vectors), unit):
        for form in FORMS:
            with np.errstate(all="ignore"):
                same = values.astype(form)
                whole = np.dtype(form).kind != "f" and not np.array_equal(same, values)
            if whole:
                continue  # rounded to whole numbers it is another vector
            needles = [row.tobytes() for row in np.ascontiguousarray(same)]
            found |= np.array([any(n in hay for hay in haystacks) for n in needles], bool)
    there: npt.NDArray[np.bool_] = found & (lengths[:, 0] > 0)
    return there
