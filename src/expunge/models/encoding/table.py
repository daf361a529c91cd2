"""``Table``: records as the numbers that other people's learners want; nothing in it outlives the records behind it.

Four forms. ``scaled``: the columns of `Scale`, about one standard deviation a unit, for networks and linear models.
``codes``: numbers as they are (NaN for missing), categories as keyed codes, words counted, for trees and boosters.
``raw``: a frame (or the plain array) as the user gave it, for pipelines that bring encoders of their own.
``plain``: numbers and vectors as they are, whole-number types over their largest value: nothing is learnt from records.

Vocabularies, scales and codes are functions of the key and of the set of records, so an encoder is forgotten with them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from expunge.core.canonical import Arrays
from expunge.core.columns import CODED, Column, Kind
from expunge.core.dataset import Dataset
from expunge.core.errors import BadData
from expunge.core.seeds import Key
from expunge.models.encoding.scale import UNIT, Scale, numbers

Form = Literal["scaled", "codes", "raw", "plain"]
FORMS: tuple[Form, ...] = ("scaled", "codes", "raw", "plain")
KINDS: tuple[Kind, ...] = ("number", "category", "text", "date", "boolean", "vector")
MOST_CODES = 200
"""A column of more categories is put into this many keyed-hash buckets."""
WORDS = 64


@dataclass(frozen=True, eq=False)
class Table:
    """The encoder of a whole table.

    Attributes:
        form: see above.
        kinds: column → kind, in the data's order.
        key: of codes and buckets.
        scale: of the columns that are not vectors (``scaled``).
        words: column → categories in the order of their codes (``codes``); none where there are too many.
        units: vector column → the power of two that one unit is (``scaled``).
        widths: vector column → its length.
    """

    form: Form
    kinds: dict[str, Kind]
    key: Key
    scale: Scale | None = None
    words: dict[str, tuple[str, ...]] = field(default_factory=dict)
    units: dict[str, float] = field(default_factory=dict)
    widths: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, data: Dataset, key: Key, form: Form) -> Table:
        """Return the encoder of these records.

        Raises:
            BadData, TooLarge: they cannot be encoded.
        """
        kinds = {name: column.kind for name, column in data.columns.items()}
        strange = [name for name, kind in kinds.items() if kind not in KINDS]
        if strange:
            raise BadData(f"column {strange[0]!r} holds {kinds[strange[0]]}, which is no table for this learner")
        vectors = {name: column for name, column in data.columns.items() if column.kind == "vector"}
        widths = {name: int(column.values.shape[1]) for name, column in vectors.items()}
        if form == "scaled":
            units = {name: _unit(column.values) for name, column in vectors.items()}
            return cls(form, kinds, key, Scale.of(_without(data, vectors), key).slim(), units=units, widths=widths)
        if form == "plain":
            _check_plain(kinds)
            units = {name: _largest(column.values) for name, column in vectors.items()}
            return cls(form, kinds, key, units=units, widths=widths)
        words = {
            name: _keyed(name, column.vocabulary, key)
            for name, column in data.columns.items()
            if form == "codes" and column.kind == "category"
        }
        return cls(form, kinds, key, words=words, widths=widths)

    @classmethod
    def read(cls, arrays: Arrays, data: Dataset, key: Key) -> Table:
        """Return the encoder of a saved `state`, over data of the same columns.

        Raises:
            BadData: the arrays are no such state.
        """
        try:
            form = FORMS[int(arrays["table/form"][0])]
            kinds = {n: KINDS[k] for n, k in zip(data.columns, arrays["table/kinds"].tolist(), strict=True)}
            texts = bytes(np.asarray(arrays["table/words"], np.uint8)).decode().split("\0")
            said = [[bytes.fromhex(part).decode() for part in text.split("\n")] for text in texts if text]
            words = {name: tuple(rest) for name, *rest in said if form == "codes" and kinds[name] == "category"}
            widths = {n: int(data.columns[n].values.shape[1]) for n, kind in kinds.items() if kind == "vector"}
            units = (
                dict(zip(widths, arrays["table/units"].tolist(), strict=True)) if form in ("scaled", "plain") else {}
            )
            scale = Scale.read(arrays, key) if form == "scaled" else None
        except (KeyError, ValueError, IndexError) as error:
            raise BadData(f"the saved encoder is not that of such a table: {error}") from error
        return cls(form, kinds, key, scale, words, units, widths)

    @property
    def width(self) -> int:
        """How many columns the table has once encoded (``scaled``, ``codes``)."""
        if self.scale is not None:
            return len(self.scale.names) + sum(self.widths.values())
        return sum(self._size(name) for name in self.kinds)

    def _size(self, name: str) -> int:
        return {"text": WORDS, "vector": self.widths.get(name, 1)}.get(self.kinds[name], 1)

    @property
    def nominal(self) -> list[int]:
        """The places of the encoded columns that are codes of categories (``codes``)."""
        places, at = [], 0
        for name, kind in self.kinds.items():
            if kind == "category":
                places.append(at)
            at += self._size(name)
        return places if self.form == "codes" else []

    def encode(self, data: Dataset) -> Any:
        """Return the table: float64 of shape (n, d), or for ``raw`` what the user's pipeline expects."""
        if self.form == "raw":
            return _raw(self.kinds, data)
        if self.scale is not None:
            vectors = [data.columns[n].values.astype(np.float64) / unit for n, unit in self.units.items()]
            plain = self.scale.encode(_without(data, self.units)).astype(np.float64) / UNIT
            return np.concatenate([plain, *vectors], axis=1)
        blocks = [self._block(name, data.columns[name]) / self.units.get(name, 1.0) for name in self.kinds]
        return np.concatenate([np.zeros((len(data), 0)), *blocks], axis=1)

    def _block(self, name: str, column: Column) -> npt.NDArray[np.float64]:
        """Return a column's codes, shape (n, columns)."""
        kind = self.kinds[name]
        if kind == "vector":
            return np.asarray(column.values, np.float64)
        if kind not in CODED:
            return numbers(column, name)[:, None]
        codes: list[Any]
        if kind == "text":
            codes = [*(_counts(text, self.key) for text in column.vocabulary), np.zeros(WORDS)]
            return np.asarray(np.array(codes, np.float64)[column.values])
        known = {word: float(code) for code, word in enumerate(self.words[name])}
        if not known and column.vocabulary:
            codes = [float(self.key.word(f"{name}={word}") % MOST_CODES) for word in column.vocabulary]
        else:
            codes = [known.get(word, np.nan) for word in column.vocabulary]
        return np.asarray(np.array([*codes, np.nan])[column.values][:, None])

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return what encodes, as arrays under ``table/…`` and ``scale/…``."""
        texts = ["\n".join(w.encode().hex() for w in (name, *self.words.get(name, ()))) for name in self.kinds]
        found: dict[str, npt.NDArray[Any]] = {
            "table/form": np.array([FORMS.index(self.form)], np.uint8),
            "table/kinds": np.array([KINDS.index(kind) for kind in self.kinds.values()], np.uint8),
            "table/words": np.frombuffer("\0".join(texts).encode(), np.uint8),
            "table/units": np.array([self.units.get(name, 1.0) for name in self.widths], np.float64),
        }
        return found if self.scale is None else found | self.scale.state()


def in_order(data: Dataset) -> Dataset:
    """Return the records in the order of their ids."""
    ids = data.ids
    return data if bool((ids[1:] > ids[:-1]).all()) else data.take(np.argsort(ids, kind="stable"))


def _without(data: Dataset, names: Any) -> Dataset:
    return replace(data, columns={n: c for n, c in data.columns.items() if n not in names}) if names else data


def _unit(values: npt.NDArray[Any]) -> float:
    """Return the power of two above the median magnitude of a vector column's entries; zeros do not count.

    Exponents are counted, so that the order of the records does not matter and few of them decide nothing.
    """
    exponents = np.frexp(np.asarray(values, np.float64))[1][values != 0]
    if not exponents.size:
        return 1.0
    least = int(exponents.min())
    ends = np.cumsum(np.bincount(exponents - least))
    return float(np.ldexp(1.0, least + int(np.searchsorted(ends, (exponents.size + 1) // 2))))


def _check_plain(kinds: dict[str, Kind]) -> None:
    odd = [name for name, kind in kinds.items() if kind not in ("number", "vector")]
    if odd:
        raise BadData(f"column {odd[0]!r} holds {kinds[odd[0]]}: only numbers and vectors can be taken as they are")


def _largest(values: npt.NDArray[Any]) -> float:
    """Return the largest value of a whole-number type; 1 for real numbers."""
    return float(np.iinfo(values.dtype).max) if values.dtype.kind in "iu" else 1.0


def _keyed(name: str, words: tuple[str, ...], key: Key) -> tuple[str, ...]:
    """Return categories in the order of their codes: by keyed hash, so that it tells nothing of the alphabet."""
    return () if len(words) > MOST_CODES else tuple(sorted(words, key=lambda w: (key.word(f"{name}={w}"), w.encode())))


def _counts(text: str, key: Key) -> npt.NDArray[np.int64]:
    secret = key.bytes
    found = [hashlib.blake2b(w.encode(), digest_size=2, key=secret).digest() for w in text.lower().split()]
    return np.bincount(np.array([int.from_bytes(f, "big") % WORDS for f in found], np.int64), minlength=WORDS)


def _raw(kinds: dict[str, Kind], data: Dataset) -> Any:
    """Return an array where all columns are plain numbers, the texts of a lone text column, else a frame."""
    columns = {name: data.columns[name] for name in kinds}
    if set(kinds.values()) <= {"number"} and list(kinds) == [f"x{j}" for j in range(len(kinds))]:
        blocks = [numbers(column, name)[:, None] for name, column in columns.items()]
        return np.concatenate([np.zeros((len(data), 0)), *blocks], axis=1)
    if [*kinds.values()] == ["vector"]:
        return next(iter(columns.values())).values
    if [*kinds.values()] == ["text"]:
        return _texts(next(iter(columns.values())), "")
    if "vector" in kinds.values():
        raise BadData("a pipeline cannot take vectors beside other columns", hint="Use the learner without a pipeline.")
    import pandas as pd

    series = {}
    for name, column in columns.items():
        values = _texts(column, "" if column.kind == "text" else np.nan) if column.kind in CODED else column.values
        series[name] = pd.Series(values, dtype=object if column.kind in CODED else np.float64)
    return pd.DataFrame(series)


def _texts(column: Column, missing: Any) -> npt.NDArray[Any]:
    return np.asarray(np.array([*column.vocabulary, missing], object)[column.values])
