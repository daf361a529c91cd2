"""Bytes that everybody computes alike: canonical JSON, strict JSON reading, digests of states and records.

Domain lines (``expunge/<what>/v1``) open every hash of ours, so that no digest can be taken for another
(spec T02). Signatures cover exact stored bytes; nothing is ever re-canonicalised to be verified.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt
import rfc8785

from expunge.core.errors import BadData, MalformedEvidence

MAX_JSON_BYTES = 1 << 20
MAX_JSON_DEPTH = 32
MAX_SAFE_INTEGER = 2**53 - 1

Arrays = Mapping[str, npt.NDArray[Any]]


def sha256(*parts: bytes) -> bytes:
    """Return SHA-256 of the concatenated parts (32 bytes)."""
    h = hashlib.sha256()
    for part in parts:
        h.update(part)
    return h.digest()


def L(part: bytes) -> bytes:
    """Return ``part`` behind its length (u64, big-endian): the unambiguous way to concatenate."""
    return len(part).to_bytes(8, "big") + part


def nfc(text: str) -> str:
    """Return text in Unicode's composed form: an id typed on any keyboard is the same id (spec X03)."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def b64(data: bytes) -> str:
    """Encode as padded RFC 4648 base64."""
    return base64.b64encode(data).decode("ascii")


def unb64(text: str) -> bytes:
    """Decode base64 and refuse every non-canonical spelling (spec T02).

    Raises:
        MalformedEvidence: not base64, or not the one spelling that encoding gives.
    """
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (ValueError, UnicodeEncodeError) as error:
        raise MalformedEvidence("not base64") from error
    if b64(data) != text:
        raise MalformedEvidence("base64 is not canonical")
    return data


def canonical_json(value: Any) -> bytes:
    """Return the RFC 8785 bytes of a JSON value (sorted keys, shortest numbers, UTF-8).

    What is written can be read back by `read_json`: a float so large that RFC 8785 spells it as an integer beyond
    2**53 - 1 is refused like the integer.

    Raises:
        BadData: the value holds NaN, infinity, a set, half a surrogate pair or a number that would be read as an
            unsafe integer, or is nested more deeply than is read.
    """
    try:
        _check_readable(value)
        return bytes(rfc8785.dumps(value))
    except (rfc8785.CanonicalizationError, TypeError, UnicodeEncodeError) as error:
        raise BadData(f"not representable as canonical JSON: {error}") from error


def _check_readable(value: Any, depth: int = 0) -> None:
    if isinstance(value, dict | list | tuple):
        if depth == MAX_JSON_DEPTH:
            raise BadData("not representable as canonical JSON: nested too deeply")
        for item in value.values() if isinstance(value, dict) else value:
            _check_readable(item, depth + 1)
    elif isinstance(value, float) and MAX_SAFE_INTEGER < abs(value) < 1e21:
        raise BadData(f"not representable as canonical JSON: {value} would be read as an unsafe integer")


def safe_number(value: float) -> float | str:
    """Return a number as canonical JSON can hold it: as text where JSON would show it as an unsafe integer."""
    return repr(value) if MAX_SAFE_INTEGER < abs(value) < 1e21 else value


def json_digest(value: Any) -> str:
    """Return the hex SHA-256 of the canonical JSON of a settings-like record (spec T02)."""
    return sha256(canonical_json(value)).hex()


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in pairs:
        if key in out:
            raise MalformedEvidence("JSON has a duplicate key")
        out[key] = value
    return out


def _safe_int(text: str) -> int:
    if len(text) > 17 or abs(int(text)) > MAX_SAFE_INTEGER:
        raise MalformedEvidence("JSON integer beyond 2^53 - 1")
    return int(text)


def _safe_float(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise MalformedEvidence("JSON number out of range")
    return value


def _refuse_constant(text: str) -> Any:
    raise MalformedEvidence(f"JSON holds {text}")


def _check_depth(text: str) -> None:
    depth = 0  # a text that never ends is one token to the end: no input takes more than one pass
    for token in re.finditer(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', text, re.DOTALL):
        if token[0] in "[{":
            depth += 1
            if depth > MAX_JSON_DEPTH:
                raise MalformedEvidence("JSON is nested too deeply")
        elif token[0] in "]}":
            depth -= 1


def read_json(data: bytes, max_bytes: int = MAX_JSON_BYTES) -> Any:
    """Parse JSON strictly (spec T02): UTF-8 without BOM, no duplicate keys, no NaN, safe integers, bounded.

    Args:
        data: the exact bytes.
        max_bytes: refuse longer input.

    Raises:
        MalformedEvidence: for every malformation; never another exception.
    """
    if len(data) > max_bytes:
        raise MalformedEvidence("JSON is too large")
    if data.startswith(b"\xef\xbb\xbf"):
        raise MalformedEvidence("JSON starts with a byte order mark")
    try:
        text = data.decode("utf-8")
        _check_depth(text)
        value = json.loads(
            text,
            object_pairs_hook=_no_duplicates,
            parse_int=_safe_int,
            parse_float=_safe_float,
            parse_constant=_refuse_constant,
        )
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # a lone surrogate escapes above and fails here
    except (ValueError, RecursionError) as error:
        raise MalformedEvidence("not well-formed JSON") from error
    return value


def array_bytes(array: npt.NDArray[Any]) -> tuple[bytes, bytes]:
    """Return (dtype, ``u8 ndim ‖ u64 dims… ‖ C-order little-endian bytes``) of an array (spec X07).

    Raises:
        BadData: the array holds NaN or Python objects; such a state has no digest.
    """
    if array.dtype.hasobject:
        raise BadData("a state holds Python objects")
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    if little.dtype.kind in "fcmM" and (np.isnat if little.dtype.kind in "mM" else np.isnan)(little).any():
        raise BadData("a state holds NaN")
    if little.dtype.kind in "fc":
        little = little + little.dtype.type(0)  # -0.0 becomes +0.0
    dims = b"".join(int(n).to_bytes(8, "big") for n in array.shape)
    return little.dtype.str.encode(), bytes([array.ndim]) + dims + little.tobytes()


def part_digest(arrays: Arrays) -> bytes:
    """Digest one part of a state: its arrays in name order (spec X07)."""
    h = hashlib.sha256(b"expunge/part/v1\n")
    for name in sorted(arrays):
        dtype, body = array_bytes(arrays[name])
        h.update(L(name.encode()) + L(dtype))
        h.update(body)
    return h.digest()


def split_parts(state: Arrays) -> dict[str, dict[str, npt.NDArray[Any]]]:
    """Group a state's arrays by part: the text before the last ``/`` of the name, in name order."""
    names = sorted(state, key=lambda name: (name.rpartition("/")[0], name))
    return {
        part: {name: np.asarray(state[name]) for name in group}
        for part, group in groupby(names, key=lambda name: name.rpartition("/")[0])
    }


def state_digest(
    learner: str, schema: bytes, key_commitment: bytes, state: Arrays, known: Mapping[str, bytes] | None = None
) -> str:
    """Digest a model's state (spec X07), as lower-case hex.

    Args:
        learner: ``repr`` of the learner (its hyper-parameters).
        schema: digest of the declared schema.
        key_commitment: commitment to the secret key of the draws.
        state: name → array; names with a ``/`` fall into one part per prefix.
        known: part → its `part_digest`, for parts that are not in `state` because they were digested before.
    """
    parts = {name: part_digest(arrays) for name, arrays in split_parts(state).items()} | dict(known or {})
    h = hashlib.sha256(b"expunge/state/v1\n")
    h.update(L(learner.encode()) + L(schema) + L(key_commitment) + len(parts).to_bytes(8, "big"))
    for name in sorted(parts):
        h.update(parts[name])
    return h.hexdigest()


def field_bytes(name: str, dtype: str, body: bytes, dims: Sequence[int] = ()) -> bytes:
    """Encode one field of a ``row/v1`` record (spec T03): ``name 0 dtype 0 ndim dims… bytes``."""
    head = name.encode() + b"\0" + dtype.encode() + b"\0" + bytes([len(dims)])
    return head + b"".join(int(n).to_bytes(8, "big") for n in dims) + body


def text_field(name: str, text: str) -> bytes:
    """Encode a text field: dtype ``utf8``, one dimension, its byte length (spec T03)."""
    body = text.encode()
    return field_bytes(name, "utf8", body, (len(body),))


def join_rows(columns: Iterable[Sequence[bytes]]) -> list[bytes]:
    """Join per-column encodings into one byte string a row; columns must come in name order."""
    return [b"".join(row) for row in zip(*columns, strict=True)]
