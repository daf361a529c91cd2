"""Ctrl-C at any line, and readers during deletions: a model is the one before or the one after, never a third."""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import contextmanager

import numpy as np
import pytest

from expunge import catalog
from expunge.core.archive import pack
from expunge.core.columns import Column
from expunge.core.conformance import records_for
from expunge.core.conformance.watch import arrays_of, some_ids
from expunge.core.dataset import Dataset
from expunge.core.errors import Unsupported
from expunge.core.interrupts import was_interrupted
from expunge.core.roles import Forgets
from expunge.core.seeds import Key
from expunge.core.tiny import deploy
from expunge.models.boosting.learner import Boosting
from expunge.models.encoding.grid import Grid
from expunge.models.forest.learner import Forest
from expunge.models.recommenders.model import ItemsModel

SMALL = {
    "forest": Forest(n_trees=8, trees_per_owner=4, min_split=2, keep=8, thresholds=4),
    "lazy forest": Forest(n_trees=8, trees_per_owner=4, min_split=2, keep=8, repair="lazy"),
    "boosting": Boosting(rounds=6, min_rows=2, min_gain=0.0),
}
"""Smaller than the catalogue's, so that most deletions change something."""


def built(name):
    try:
        learner = SMALL[name] if name in SMALL else catalog.build("learner", name)
    except Unsupported as error:
        pytest.skip(error.message)
    if not isinstance(deploy(learner, records_for(learner)[0](0)).model, Forgets):
        pytest.skip(f"{name} does not forget by itself, exactly")
    return learner


NAMES = ("lazy forest", *catalog.names("learner"))


class Holder:
    """What an estimator does: one model, replaced as a whole, or changed in place where the model can do that."""

    def __init__(self, model):
        self.model = model

    def forget(self, ids):
        if hasattr(self.model, "forget"):
            self.model.forget(ids)
        else:
            self.model = self.model.without(ids)
        self.model.digest()
        len(self.model.data)


@contextmanager
def lines_counted(at, act):
    """Call `act` before the line of our code that is number `at`; yields a list that grows by one a line."""
    lines = []

    def local(frame, event, _):
        if event == "line":
            if len(lines) == at:
                sys.settrace(None)
                frame.f_trace = None
                lines.append(1)
                act()
                return None
            lines.append(1)
        return local

    def trace(frame, event, _):
        return local if "/expunge/" in frame.f_code.co_filename.replace("\\", "/") else None

    sys.settrace(trace)
    try:
        yield lines
    finally:
        sys.settrace(None)


def interrupt():
    signal.raise_signal(signal.SIGINT)


def check_interrupts(name, n_lines):
    """Interrupt a deletion at so many of its lines, and hold the model against the one before and the one after."""
    learner = built(name)
    deployment = deploy(learner, records_for(learner)[0](1), 1)
    ids = some_ids(deployment, 0.2, 1)

    def fitted():
        return Holder(learner.fit(deployment.data, deployment.key))

    before, after = fitted(), fitted()
    with lines_counted(-1, interrupt) as lines:
        after.forget(ids)
    allowed = {h.model.digest(): pack(arrays_of(h.model)) for h in (before, after)}
    stopped = 0
    for at in np.random.default_rng(2).integers(0, len(lines), n_lines).tolist():
        holder = fitted()
        try:
            with lines_counted(at, interrupt):
                holder.forget(ids)
        except BaseException as error:
            if not was_interrupted(error):
                raise
            stopped += 1
        assert allowed.get(holder.model.digest()) == pack(arrays_of(holder.model))
    assert stopped > 0


@pytest.mark.parametrize("name", NAMES)
def test_an_interrupt_at_some_line_leaves_one_of_two_models(name):
    check_interrupts(name, 4)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_an_interrupt_at_any_of_twenty_lines_leaves_one_of_two_models(name):
    check_interrupts(name, 20)


def answer(model, data):
    """Return what a reader is told. EASE is served with corrections, which round according to how many there are."""
    losses = model.losses(data)
    return (np.round(losses, 9) if isinstance(model, ItemsModel) else losses).tobytes()


def versions(learner, data, key, ids):
    """Return what a reader may see: the losses of the whole after no, one, two … deletions."""
    holder = Holder(learner.fit(data, key))
    found = {answer(holder.model, data)}
    for i in ids:
        holder.forget([i])
        found.add(answer(holder.model, data))
    return found


def read_while_forgetting(learner, data, key, ids):
    """Return all that 8 readers saw during these deletions."""
    holder, seen, done = Holder(learner.fit(data, key)), [], threading.Event()

    def read():
        mine = set()
        try:
            while not done.is_set():
                mine.add(answer(holder.model, data))
        except Exception as error:
            seen.append(error)
        else:
            seen.append(mine)

    readers = [threading.Thread(target=read) for _ in range(8)]
    for reader in readers:
        reader.start()
    try:
        for i in ids:
            holder.forget([i])
    finally:
        done.set()
        for reader in readers:
            reader.join()
    assert not [each for each in seen if isinstance(each, Exception)]
    return set().union(*seen)


def check_readers(learner, n_deletions):
    """Readers during so many deletions, world after world, see whole versions only."""
    records, seed = records_for(learner)[0], 0
    while n_deletions > 0:
        deployment = deploy(learner, records(seed), seed)
        ids = some_ids(deployment, 0.7, seed)[:n_deletions]
        told = (learner, deployment.data, deployment.key, ids)
        assert read_while_forgetting(*told) <= versions(*told), f"world {seed}: a reader saw what no version says"
        n_deletions, seed = n_deletions - len(ids), seed + 1


@pytest.mark.parametrize("name", NAMES)
def test_eight_readers_see_whole_versions(name):
    check_readers(built(name), 4)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_eight_readers_see_whole_versions_during_two_hundred_deletions(name):
    check_readers(built(name), 200)


def table(n=300):
    draw = np.random.Generator(np.random.PCG64(3))
    X = draw.integers(-9, 10, (n, 3)).astype(np.float64)
    rare = Column.of_texts([f"v{j % 20}" if j % 5 == 0 else "common" for j in range(n)])
    columns = {**{f"x{j}": Column("number", X[:, j]) for j in range(3)}, "rare": rare}
    ids = np.arange(n)
    y = np.where((X[:, 0] > 0) ^ (X[:, 1] > 3) ^ (rare.values % 2 > 0), "yes", "no").tolist()
    return Dataset(columns, ids, ids, Column.of_texts(y))


class Pause:
    """Stands in for a step of reading: after so many calls it waits until it is told to go on."""

    def __init__(self, real, calls):
        self.real, self.left, self.reached, self.go = real, calls, threading.Event(), threading.Event()

    def __call__(self, *args):
        found = self.real(*args)
        self.left -= 1
        if self.left == 0:
            self.reached.set()
            self.go.wait(0.5)  # who repairs may wait for readers
        return found


def read_around(model, data, pause, act):
    """Return what a reader sees that has begun before `act` and ends after it."""
    found = []
    reader = threading.Thread(target=lambda: found.append(model.losses(data)))
    reader.start()
    assert pause.reached.wait(10)
    act()
    pause.go.set()
    reader.join()
    return found[0]


def test_a_reader_that_began_before_a_repair_sees_the_forest_before_or_after(monkeypatch):
    from expunge.models.kernels import trees

    data, key = table(), Key.public(5)
    learner = Forest(n_trees=6, trees_per_owner=5, min_split=2, max_depth=12)
    model, ids = learner.fit(data, key), data.ids[::7].tolist()
    allowed = [model.losses(data), model.without(ids).losses(data)]
    model, pause = learner.fit(data, key), Pause(trees.add_votes, 3)
    monkeypatch.setattr(trees, "add_votes", pause)
    seen = read_around(model, data, pause, lambda: model.forget(ids))
    assert any(np.array_equal(seen, one) for one in allowed)


def test_a_reader_that_began_before_a_forest_settles_sees_the_same_forest(monkeypatch):
    """`settle` numbers categories afresh: a reader that has encoded its records must not meet the new trees."""
    data, key = table(), Key.public(5)
    learner = Forest(n_trees=6, trees_per_owner=6, min_split=2, max_features=4)
    real, gone = Grid.encode, data.ids[data.columns["rare"].values % 3 == 1].tolist()
    model = learner.fit(data, key).without(gone)
    expected = learner.fit(data.without(gone), key).losses(data)
    pause = Pause(model.grid.encode, 1)
    monkeypatch.setattr(Grid, "encode", lambda self, records: pause(records) if pause.left > 0 else real(self, records))
    seen = read_around(model, data, pause, model.settle)
    monkeypatch.undo()
    assert np.array_equal(model.losses(data), expected)
    assert np.array_equal(seen, expected)
