"""Making a store: train beside the place where it will stand, then move it there in one step."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expunge import catalog
from expunge.core.columns import Kind
from expunge.core.dataset import Dataset
from expunge.core.deployment import Deployment
from expunge.core.errors import ClassVanished, StoreExists, StoreFull
from expunge.core.files import sync_folder, write_durably
from expunge.core.roles import Learner, Prepares, Progress
from expunge.core.seeds import Key
from expunge.fulfilment.commitments import Commitments
from expunge.service.database import Database, now
from expunge.service.keyring import Keyring
from expunge.service.objects import Objects
from expunge.service.settings import FORMAT, Layout, Settings, expunge_version
from expunge.service.versions import save_deployment
from expunge.trust.leaf import new_ref, public_leaf
from expunge.trust.log import FileLog
from expunge.trust.trustroot import trust_root

if TYPE_CHECKING:
    import pandas as pd


KEEP_CLASS = (
    "The holdout may have taken every record of the class: declare the classes with --class (once for each), or set "
    "less aside with --holdout."
)


def _silent(line: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class Recipe:
    """What to train, on what.

    Attributes:
        target: the column to learn; None for a learner without a target.
        learner: catalogue name.
        params: hyper-parameters.
        subject: the column that says who owns a record; None: every record owns itself.
        ids: the column of record ids; None: rows are numbered.
        classes: declared classes; empty: learnt, and forgotten, with the records.
        number: whether the target is a number.
        holdout: share of the owners set aside for measurement; 0 for none.
        seed: mixed into the secret key of all draws.
        ranges: declared ranges of numbers; the others are learnt, and forgotten, with the records.
        kinds: column → kind, where the guess would be wrong.
    """

    target: str | None = None
    learner: str = "forest"
    params: dict[str, Any] | None = None
    subject: str | None = None
    ids: str | None = None
    classes: tuple[str, ...] = ()
    number: bool = False
    holdout: float = 0.2
    seed: int = 0
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    kinds: Mapping[str, Kind] = field(default_factory=dict)

    def build(self) -> Learner:
        """Return the learner.

        Raises:
            UnknownName, Unsupported, BadInput: there is none of this name, or it has no such hyper-parameter.
        """
        learner: Learner = catalog.build("learner", self.learner, **(self.params or {}))
        return learner

    def read(self, frame: pd.DataFrame) -> Dataset:
        """Return the records of a table.

        Raises:
            MissingColumn, BadTarget, BadData, DuplicateId: nothing was read.
        """
        return Dataset.from_frame(
            frame,
            target=self.target,
            subject=self.subject,
            ids=self.ids,
            classes=self.classes,
            kinds={**self.kinds, **({self.target: "number"} if self.number and self.target is not None else {})},
        ).declaring(self.ranges)

    def train(
        self, data: Dataset, key: Key, progress: Progress | None = None, say: Callable[[str], None] = _silent
    ) -> Deployment:
        """Set the holdout aside and fit the rest.

        Args:
            data: the records.
            key: of all draws.
            progress: of the fit.
            say: told what takes long before the fit (compiling).

        Raises:
            BadTarget, BadData, UnknownName: nothing was learnt.
            ClassVanished: an undeclared class has no record outside the holdout.
        """
        learner = self.build()
        fitted, holdout = data.split(key, self.holdout) if self.holdout else (data, None)
        if isinstance(learner, Prepares):
            learner.prepare(say)
        started = time.perf_counter()
        try:
            model = learner.fit(fitted, key, progress)
        except ClassVanished as error:
            raise ClassVanished(f"{error.message} to train on", hint=KEEP_CLASS) from error
        return Deployment(learner, fitted, key, model, holdout, time.perf_counter() - started)


def check_place(root: Path) -> None:
    """Refuse a place where something is.

    Raises:
        StoreExists: the directory is not empty, or it is a file.
        StoreFull: the folder above may not be written.
    """
    if root.exists() and not (root.is_dir() and not any(root.iterdir())):
        raise StoreExists(f"there is already something in {root}")
    if not root.parent.is_dir():
        raise StoreFull(f"there is no folder {root.parent}", hint="Make the folder first.")


def create(root: Path, deployment: Deployment, recipe: Recipe) -> Settings:
    """Make a store of a trained deployment; there is a whole store in the end, or nothing.

    Raises:
        StoreExists: there is something already.
        StoreFull: no space.
    """
    check_place(root)
    origin = f"expunge.local/{new_ref()[:12]}"
    settings = Settings(
        format=FORMAT,
        expunge=expunge_version(),
        created_at=now(),
        learner=recipe.learner,
        params=recipe.params or {},
        target=recipe.target,
        number=recipe.number,
        subject=recipe.subject,
        ids=recipe.ids,
        classes=recipe.classes,
        holdout=recipe.holdout,
        origin=origin,
        dataset=new_ref(),
    )
    with _beside(root) as place:
        _fill(Layout(place), deployment, settings)
    return settings


def _fill(layout: Layout, deployment: Deployment, settings: Settings) -> None:
    layout.make()
    commitments = Commitments.fresh(deployment.data)
    keyring = Keyring(layout.keys, settings.origin)
    keyring.make(deployment.key, commitments.secret)
    log = keyring.log()
    FileLog(layout.log, log).append(_first_manifest(settings, commitments))
    root = trust_root(log.vkey, keyring.issuer().vkey)
    write_durably(layout.trust, root.canonical() + b"\n")
    database = Database.create(layout.database)
    try:
        parts = save_deployment(deployment, commitments, Objects(layout.objects))
        database.add_version("active", deployment.model.digest(), parts.text(), deployment.fit_s)
    finally:
        database.close()
    settings.save(layout.settings)


def _first_manifest(settings: Settings, commitments: Commitments) -> bytes:
    """Return the log entry that binds the store to its first records: their salted roots."""
    roots = {"d_root": commitments.d_map.root.hex(), "u_root": commitments.u_map.root.hex()}
    return public_leaf(
        "MANIFEST", settings.dataset, 0, int(time.time()), {"dataset": settings.dataset, "version": 1, **roots}
    )


@contextmanager
def _beside(root: Path) -> Iterator[Path]:
    """Give a fresh folder beside ``root`` that becomes it, or leaves nothing."""
    _clean_up(root)
    place = root.with_name(f".{root.name}.{os.getpid()}.new")
    try:
        yield place
        place.rename(root)  # onto nothing, or an empty folder
        sync_folder(root.parent)
    except OSError as error:
        raise StoreFull(f"cannot write {root}: {error.strerror}") from error
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _clean_up(root: Path) -> None:
    """Delete what killed processes left while they made a store here."""
    for left in root.parent.glob(f".{root.name}.*.new"):
        number = left.name.split(".")[-2]
        if number.isdigit() and not Path(f"/proc/{number}").exists():
            shutil.rmtree(left, ignore_errors=True)
