"""Arrays and data sets as bytes: safetensors and JSON, the same for equal content.

Never pickle: what is read can hold numbers, not code.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from expunge.core.canonical import Arrays, canonical_json, read_json
from expunge.core.columns import Column
from expunge.core.dataset import Dataset
from expunge.core.errors import BadData, BadInput, MalformedEvidence, StoreDamaged


def pack(arrays: Arrays) -> bytes:
    """Return safetensors bytes: equal arrays give equal bytes (sorted names, no metadata).

    Raises:
        BadData: an array of texts or of another type that the format does not know.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save

    try:
        return bytes(save({name: np.asarray(arrays[name], order="C") for name in sorted(arrays)}))
    except SafetensorError as error:
        raise BadData(f"these arrays cannot be stored: {error}") from error


def unpack(data: bytes, what: str = "arrays") -> dict[str, npt.NDArray[Any]]:
    """Read safetensors bytes.

    Raises:
        StoreDamaged: not safetensors.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return dict(load(data))
    except (SafetensorError, ValueError, KeyError) as error:
        raise StoreDamaged(f"{what}: not a readable safetensors file") from error


def _pack_texts(texts: list[str]) -> dict[str, npt.NDArray[Any]]:
    encoded = [t.encode() for t in texts]
    ends = np.cumsum([0, *(len(e) for e in encoded)], dtype=np.int64)
    return {"bytes": np.frombuffer(b"".join(encoded), np.uint8), "ends": ends}


def _unpack_texts(arrays: Arrays, name: str) -> list[str]:
    body, ends = arrays[f"{name}/bytes"].tobytes(), arrays[f"{name}/ends"].tolist()
    return [body[a:b].decode() for a, b in zip(ends, ends[1:], strict=False)]


def _pack_ids(ids: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
    return {"numbers": ids} if ids.dtype.kind == "i" else _pack_texts(ids.tolist())


def _unpack_ids(arrays: Arrays, name: str) -> npt.NDArray[Any]:
    numbers = arrays.get(f"{name}/numbers")
    return np.array(_unpack_texts(arrays, name), np.str_) if numbers is None else np.asarray(numbers)


def pack_dataset(data: Dataset) -> bytes:
    """Return a data set as safetensors bytes, with its record digests; free of anything but the records."""
    arrays: dict[str, npt.NDArray[Any]] = {}

    def put(prefix: str, group: Arrays) -> None:
        arrays.update({f"{prefix}/{name}": array for name, array in group.items()})

    put("ids", _pack_ids(data.ids))
    put("subjects", _pack_ids(data.subjects))
    columns = list(data.columns.items()) + ([("", data.target)] if data.target else [])
    for number, (_, column) in enumerate(columns):
        put(f"column/{number}", {"values": column.values})
        put(f"column/{number}/words", _pack_texts(list(column.vocabulary)))
    head = {
        "columns": [[name, column.kind] for name, column in columns],
        "has_target": data.target is not None,
        "target_name": data.target_name,
        "classes": list(data.classes),
        "notes": list(data.notes),
    } | data.declared_ranges()
    arrays["head"] = np.frombuffer(canonical_json(head), np.uint8)
    arrays["digests"] = data.record_digests
    return pack(arrays)


def unpack_dataset(data: bytes, what: str = "data") -> Dataset:
    """Read a data set.

    Raises:
        StoreDamaged: the bytes are not a data set.
    """
    arrays = unpack(data, what)
    try:
        head = read_json(arrays["head"].tobytes(), max_bytes=1 << 26)
        columns = [
            (
                name,
                Column(
                    kind,
                    arrays[f"column/{number}/values"],
                    tuple(_unpack_texts(arrays, f"column/{number}/words")),
                ),
            )
            for number, (name, kind) in enumerate(head["columns"])
        ]
        target = columns.pop()[1] if head["has_target"] else None
        read = Dataset(
            columns=dict(columns),
            ids=_unpack_ids(arrays, "ids"),
            subjects=_unpack_ids(arrays, "subjects"),
            target=target,
            target_name=head["target_name"],
            classes=tuple(head["classes"]),
            notes=tuple(head["notes"]),
            ranges={name: (float(low), float(high)) for name, (low, high) in head.get("ranges", {}).items()},
        )
        digests = arrays["digests"]
    except (LookupError, ValueError, TypeError, AttributeError, MalformedEvidence, BadInput) as error:
        raise StoreDamaged(f"{what}: not a data set of this version") from error
    if digests.shape != (len(read), 32):
        raise StoreDamaged(f"{what}: the record digests do not fit the records")
    read.__dict__["record_digests"] = digests
    return read
