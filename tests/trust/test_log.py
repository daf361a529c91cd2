"""The file log: crashes at every step, altered files, rewritten and rolled-back histories."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from expunge.core import files
from expunge.core.errors import (
    BadInput,
    KeyUnsafe,
    LogRewritten,
    MalformedEvidence,
    SignatureInvalid,
    StoreBusy,
    StoreDamaged,
    StoreError,
    StoreFull,
    StoreMissing,
    Unverifiable,
)
from expunge.trust import log
from expunge.trust.keys import SigningKey
from expunge.trust.log import FileLog
from expunge.trust.merkle import Tree, leaf_hash, verify_consistency, verify_inclusion
from expunge.trust.note import Checkpoint, note_text
from expunge.trust.proof import Proof
from expunge.trust.tiles import tile_path, tiles_of

from .samples import LOG

ENTRIES = [b"entry %d" % i for i in range(600)]


def filled(folder: Path, n: int, entries: list[bytes] = ENTRIES) -> FileLog:
    found = FileLog(folder, LOG)
    for entry in entries[found.size : n]:
        found.append(entry)
    return found


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a log of 300 entries; copy it before changing it."""
    folder = tmp_path_factory.mktemp("long") / "log"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files.os, "fsync", lambda handle: None)
        filled(folder, 300)
    return folder


@pytest.fixture
def copied(long: Path, tmp_path: Path) -> Path:
    shutil.copytree(long, tmp_path / "log")
    return tmp_path / "log"


def names(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("n", [0, 1, 2, 255, 256, 257, 513])
def test_a_log_opens_again_as_it_was_left(n: int, tmp_path: Path) -> None:
    first = filled(tmp_path / "log", n)
    again = FileLog(tmp_path / "log", LOG.public)
    again.check()
    assert (again.size, again.root, again.checkpoint()) == (n, first.root, first.checkpoint())
    assert list(again.entries()) == ENTRIES[:n]
    assert again.root == Tree(ENTRIES[:n]).root()
    tiles = list(tiles_of(n))
    bundles = {tile_path(-1, at, width) for level, at, width in tiles if level == 0}
    assert names(tmp_path / "log") == {"checkpoint"} | {tile_path(*t) for t in tiles} | bundles


def test_proofs_lead_to_the_signed_root(copied: Path) -> None:
    found = FileLog(copied, LOG)
    signed = Checkpoint.parse(note_text(found.checkpoint().encode()))
    for i in (0, 255, 256, 299):
        assert found.entry(i) == ENTRIES[i]
        proof = Proof.parse(found.proof(i))
        verify_inclusion(i, signed.size, leaf_hash(ENTRIES[i]), proof.path, signed.root)
    for old in (1, 128, 256, 300):
        verify_consistency(old, 300, Tree(ENTRIES[:old]).root(), signed.root, found.consistency(old))
    with pytest.raises(BadInput):
        found.proof(300)
    with pytest.raises(StoreDamaged):
        found.entry(300)


def test_ensure_appends_once(copied: Path) -> None:
    found = FileLog(copied, LOG)
    assert found.ensure(b"new") == found.ensure(b"new") == 300
    assert FileLog(copied, LOG).ensure(b"new") == 300
    assert found.append(b"new") == 301  # append is not idempotent
    assert found.ensure(b"new") == 300


class Crash(BaseException):
    """The power goes."""


def crashes_after(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the power go at the n-th file-system step of the log: an fsync, a replace or an unlink."""
    left = [steps]

    def counted(real: Callable[..., object]) -> Callable[..., object]:
        def step(*arguments: object, **options: object) -> object:
            if left[0] == 0:
                raise Crash
            left[0] -= 1
            return real(*arguments, **options)

        return step

    monkeypatch.setattr(files.os, "fsync", counted(lambda handle: None))
    monkeypatch.setattr(Path, "replace", counted(Path.replace))
    monkeypatch.setattr(Path, "unlink", counted(Path.unlink))
    monkeypatch.setattr(Path, "mkdir", counted(Path.mkdir))


@pytest.mark.parametrize("n", [0, 1, 255, 256])
def test_a_crash_at_any_step_of_an_append_leaves_a_whole_log(n: int, tmp_path: Path) -> None:
    base = tmp_path / "base"
    old = filled(base, n).checkpoint()
    outcomes = set()
    for steps in range(60):
        folder = tmp_path / f"crash-{steps}"
        shutil.copytree(base, folder)
        found = FileLog(folder, LOG)
        with pytest.MonkeyPatch.context() as patch:
            crashes_after(steps, patch)
            try:
                found.append(b"the one")
            except Crash:
                done = False
            else:
                done = True
        again = FileLog(folder, LOG)
        again.extends(old)
        again.check()
        assert again.size in (n, n + 1)
        outcomes.add((done, again.size - n))
        # work goes on, with another entry in the place of one that was never published
        if again.size == n:
            assert again.ensure(b"another") == n
        assert again.ensure(b"the one") == again.size - 1
        again.check()
        FileLog(folder, LOG).check()
        if done:
            break
    assert outcomes == {(False, 0), (False, 1), (True, 1)}


def test_a_crash_while_a_log_is_started_can_be_repeated(tmp_path: Path) -> None:
    for steps in range(20):
        folder = tmp_path / f"start-{steps}"
        with pytest.MonkeyPatch.context() as patch:
            crashes_after(steps, patch)
            try:
                FileLog(folder, LOG)
            except Crash:
                done = False
            else:
                done = True
        assert filled(folder, 1).size == 1
        if done:
            break
    assert done


def test_after_a_failed_write_the_same_object_goes_on(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = FileLog(copied, LOG)
    real = log.write_durably
    for fails_at in ("tile/entries", "tile/0", "checkpoint"):

        def full(path: Path, data: bytes, fails_at: str = fails_at) -> None:
            if path.relative_to(copied).as_posix().startswith(fails_at):
                raise StoreFull("no space")
            real(path, data)

        size = found.size
        with monkeypatch.context() as patch:
            patch.setattr(log, "write_durably", full)
            with pytest.raises(StoreFull):
                found.append(b"lost")
        assert found.size == size
        assert found.append(b"kept at " + fails_at.encode()) == size
        found.check()
    assert b"lost" not in list(found.entries())


def test_a_full_disk_is_said_to_be_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(handle: int) -> None:
        raise OSError(28, "No space left on device")

    found = filled(tmp_path / "log", 1)
    monkeypatch.setattr(files.os, "fsync", no_space)
    with pytest.raises(StoreFull, match="No space"):
        found.append(b"x")


def spoil(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:-3] + bytes([data[-3] ^ 1]) + data[-2:])


@pytest.mark.parametrize("name", ["tile/0/000", "tile/0/001.p/44", "tile/entries/001.p/44"])
def test_an_altered_file_is_noticed_when_opening(name: str, copied: Path) -> None:
    spoil(copied / name)
    with pytest.raises(StoreDamaged):
        FileLog(copied, LOG)


@pytest.mark.parametrize("name", ["tile/1/000.p/1", "tile/entries/000"])
def test_an_altered_file_is_noticed_by_a_check(name: str, copied: Path) -> None:
    found = FileLog(copied, LOG)
    spoil(copied / name)
    with pytest.raises((StoreDamaged, LogRewritten)):
        found.check()
    if name.startswith("tile/entries"):
        with pytest.raises(StoreDamaged):
            list(found.entries())
        with pytest.raises(StoreDamaged):
            found.entry(255)


@pytest.mark.parametrize("cut", [0, 1, 31])
def test_a_truncated_or_missing_file_is_noticed(cut: int, long: Path, tmp_path: Path) -> None:
    for i, name in enumerate(sorted(names(long) - {"checkpoint"})):
        folder = tmp_path / str(i)
        shutil.copytree(long, folder)
        (folder / name).write_bytes((folder / name).read_bytes()[:cut])
        with pytest.raises(StoreDamaged):
            FileLog(folder, LOG).check()
        (folder / name).unlink()
        with pytest.raises(StoreDamaged):
            FileLog(folder, LOG).check()


def test_a_lost_or_spoilt_checkpoint_is_noticed(copied: Path) -> None:
    spoil(copied / "checkpoint")
    with pytest.raises((SignatureInvalid, MalformedEvidence)):
        FileLog(copied, LOG)
    (copied / "checkpoint").unlink()
    with pytest.raises(StoreDamaged):
        FileLog(copied, LOG)


def test_another_key_or_name_does_not_open_the_log(copied: Path) -> None:
    for key in (SigningKey.generate(LOG.name), SigningKey.generate("other.example/log")):
        with pytest.raises(Unverifiable):
            FileLog(copied, key)


def test_a_rewritten_log_does_not_extend_the_old_one(tmp_path: Path) -> None:
    old = filled(tmp_path / "old", 5)
    for change in range(5):
        entries = [*ENTRIES[:change], b"changed", *ENTRIES[change + 1 : 9]]
        new = filled(tmp_path / f"new-{change}", 9, entries)
        with pytest.raises(LogRewritten):
            new.extends(old.checkpoint())
    filled(tmp_path / "longer", 9).extends(old.checkpoint())
    old.extends(old.checkpoint())


def test_a_shorter_log_does_not_extend_the_longer_one(tmp_path: Path) -> None:
    long, short = filled(tmp_path / "long", 6), filled(tmp_path / "short", 5)
    with pytest.raises(LogRewritten, match="has 5 entries and had 6"):
        short.extends(long.checkpoint())
    long.extends(FileLog(tmp_path / "empty", LOG).checkpoint())
    with pytest.raises(Unverifiable):
        long.extends(FileLog(tmp_path / "strange", SigningKey.generate("strange.example/log")).checkpoint())
    with pytest.raises(SignatureInvalid):
        long.extends(short.checkpoint().replace("\n5\n", "\n4\n"))


def test_files_exchanged_under_an_open_log_are_noticed(tmp_path: Path) -> None:
    for name, entries, n in [("shorter", ENTRIES, 4), ("other", [b"x", *ENTRIES[1:]], 6)]:
        folder = tmp_path / name
        found = filled(folder, 6)
        filled(tmp_path / f"{name}-source", n, entries)
        shutil.rmtree(folder)
        shutil.move(tmp_path / f"{name}-source", folder)
        with pytest.raises(LogRewritten):
            found.check()
        with pytest.raises(StoreBusy):
            found.append(b"fork")


def test_a_checkpoint_put_back_is_noticed(tmp_path: Path) -> None:
    found = filled(tmp_path / "log", 256)
    early = found.checkpoint()
    for entry in ENTRIES[256:260]:
        found.append(entry)
    (tmp_path / "log" / "checkpoint").write_text(early)
    with pytest.raises(LogRewritten, match="older"):
        FileLog(tmp_path / "log", LOG).check()
    with pytest.raises(LogRewritten):
        found.check()


def test_two_writers_do_not_fork_the_log(copied: Path) -> None:
    one, two = FileLog(copied, LOG), FileLog(copied, LOG)
    one.append(b"first")
    for write in (two.append, two.ensure):
        with pytest.raises(StoreBusy):
            write(b"second")
    FileLog(copied, LOG).check()


def test_a_public_key_reads_and_does_not_write(copied: Path, tmp_path: Path) -> None:
    found = FileLog(copied, LOG.public)
    assert found.ensure(ENTRIES[7]) == 7
    before = names(copied)
    with pytest.raises(KeyUnsafe):
        found.append(b"x")
    assert names(copied) == before
    with pytest.raises(StoreMissing):
        FileLog(tmp_path / "nothing", LOG.public)
    FileLog(copied, LOG).check()


def test_an_entry_has_a_limit(tmp_path: Path) -> None:
    found = filled(tmp_path / "log", 0)
    assert found.append(b"x" * 65_535) == 0
    with pytest.raises(MalformedEvidence):
        found.append(b"x" * 65_536)
    with pytest.raises(StoreError):
        found.entry(-1)


def test_appending_does_not_read_the_log_again(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = FileLog(copied, LOG)
    read: list[str] = []
    real = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: (read.append(path.name), real(path))[1])
    found.append(b"one more")
    assert read == ["checkpoint"]
