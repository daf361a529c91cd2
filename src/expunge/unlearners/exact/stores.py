"""``EntryStore``: a cache that knows which records each entry was made from, so that it can let go of a person's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar, runtime_checkable

from expunge.core.canonical import nfc
from expunge.core.errors import BadInput
from expunge.core.request import Id

Name = TypeVar("Name", str, Id)


@runtime_checkable
class Store(Protocol):
    """What holds things derived from records: a prompt, response or key-value cache, features, examples, passages."""

    @property
    def name(self) -> str:
        """What it is called on a receipt."""
        ...

    @property
    def indexed(self) -> bool:
        """Whether every write so far said which records it was made from."""
        ...

    def evict(self, ids: Iterable[Id]) -> int:
        """Remove every entry made from any of these records, and return how many there were."""
        ...

    def made_from(self, ids: Iterable[Id]) -> int:
        """Return how many entries are known to be made from any of these records."""
        ...


@dataclass(eq=False)
class EntryStore:
    """A store in memory, with provenance: entry → records, and records → entries.

    Attributes:
        name: what it is called on a receipt.

    >>> answers = EntryStore("answers")
    >>> answers.write("q1", b"Ann lives in Oslo", records=["ann"])
    >>> answers.write("summary", b"one person, in Oslo", made_of=["q1"])
    >>> answers.evict(["ann"]), answers.read("summary"), answers.indexed
    (2, None, True)
    """

    name: str
    _values: dict[str, bytearray] = field(default_factory=dict, init=False, repr=False)
    _records: dict[str, frozenset[str] | None] = field(default_factory=dict, init=False, repr=False)
    _entries: dict[str, set[str]] = field(default_factory=dict, init=False, repr=False)

    def __len__(self) -> int:
        return len(self._values)

    @property
    def indexed(self) -> bool:
        """Whether every entry that is held says which records it was made from; none at all is an answer too."""
        return None not in self._records.values()

    def write(
        self, key: str, value: bytes, *, records: Iterable[Id] | None = None, made_of: Iterable[str] = ()
    ) -> None:
        """Hold a value; what was held under the key is wiped.

        Args:
            key: what it is asked for by.
            value: its bytes.
            records: ids of the records that it was made from; empty = of none; None = it is not known, unless
                `made_of` says it, and the store is no longer `indexed`.
            made_of: entries of this store that it was made from: their records are its records too.

        Raises:
            BadInput: an entry of `made_of` is not held (any more), so that its records are not known; or one name was
                given where a list is meant; or the value is not bytes. What was held under the key stays.
        """
        parents = _listed(made_of)
        if not isinstance(value, bytes | bytearray | memoryview):
            raise BadInput(f"an entry is bytes, not {type(value).__name__}", hint="Encode texts: value.encode().")
        lost = [parent for parent in parents if parent not in self._records]
        if lost:
            raise BadInput(f"{key!r} cannot be made of {lost[0]!r}, which is not in the store {self.name!r}")
        known = (
            None if records is None and not parents else frozenset(_text(record) for record in _listed(records or ()))
        )
        for parent in parents:
            theirs = self._records[parent]
            known = None if known is None or theirs is None else known | theirs
        self._drop(key)
        self._values[key], self._records[key] = bytearray(value), known
        for record in known or ():
            self._entries.setdefault(record, set()).add(key)

    def read(self, key: str) -> bytes | None:
        """Return a value; None if it is not held."""
        value = self._values.get(key)
        return None if value is None else bytes(value)

    def evict(self, ids: Iterable[Id]) -> int:
        """Remove every entry made from any of these records, overwriting its bytes; return how many there were."""
        keys = self._made_from(ids)
        for key in keys:
            self._drop(key)
        return len(keys)

    def made_from(self, ids: Iterable[Id]) -> int:
        """Return how many entries are known to be made from any of these records."""
        return len(self._made_from(ids))

    def _made_from(self, ids: Iterable[Id]) -> set[str]:
        return {key for record in _listed(ids) for key in self._entries.get(_text(record), ())}

    def _drop(self, key: str) -> None:
        value = self._values.pop(key, None)
        if value is None:
            return
        value[:] = bytes(len(value))
        for record in self._records.pop(key) or ():
            self._entries[record].discard(key)
            if not self._entries[record]:
                del self._entries[record]


def _listed(names: Iterable[Name]) -> list[Name]:
    """Return names as a list; a text would be taken for the names of its letters.

    Raises:
        BadInput: it is one.
    """
    if isinstance(names, str):
        raise BadInput(f"{names!r} is one name where a list is meant", hint=f"Write [{names!r}].")
    return list(names)


def _text(record: Id) -> str:
    """Return an id as text: 17 and "17" name one record in any data set."""
    return nfc(str(record))
