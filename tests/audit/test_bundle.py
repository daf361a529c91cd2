"""Bundles: what is written is read bit for bit; what is malformed is refused, in any of many ways, without surprise."""

import ast
import io
import json
import os
import re
import zipfile
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.audit import bundle
from expunge.audit.pools import Pool, Pools
from expunge.core.errors import BadData, MalformedEvidence

N, K = 12, 3
WORLDS = (("before", 4), ("after", 4), ("reference", 3))
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "audit-from-logits.md"


def pools_of(kind="logits", dtype=np.float16, controls=True):
    draw = np.random.default_rng(0)
    truth = draw.integers(0, K, N)
    rows = draw.choice([0, 1, 2], size=(4, N)).astype(np.uint8)
    rows[:, -3:] = 3

    def pool(world, m):
        said = {
            "logits": lambda: {"logits": draw.normal(size=(m, N, K)).astype(dtype)},
            "given": lambda: {"given": draw.normal(size=(m, N)).astype(dtype)},
            "top": lambda: {"top": draw.integers(0, K, (m, N))},
        }[kind]()
        return Pool(world, rows[:m], truth, np.arange(m), tuple(f"{world}/{i}" for i in range(m)), **said)

    return Pools(
        ids=tuple(f"r{i}" for i in range(N)),
        truth=truth,
        n_classes=K,
        pools=tuple(pool(world, m) for world, m in WORLDS),
        subgroups={"first": np.arange(N) < 5},
        controls={"no-op": pool("other", 4)} if controls else {},
    )


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("kind", ["logits", "given", "top"])
def test_what_is_written_is_read_bit_for_bit(tmp_path, kind, dtype):
    live = pools_of(kind, dtype)
    digest = bundle.write(tmp_path / "b", live, claim="certified", epsilon=1.5, delta=1e-5, notes=("trained twice",))
    read = bundle.read(tmp_path / "b")
    assert read.digest == digest == sha256((tmp_path / "b" / "bundle.json").read_bytes()).hexdigest()
    assert (read.described.claim, read.described.epsilon, read.described.delta) == ("certified", 1.5, 1e-5)
    assert read.pools.ids == live.ids
    assert np.array_equal(read.pools.subgroups["first"], live.subgroups["first"])
    for world, _ in WORLDS:
        same(read.pools.need(world), live.need(world), kind)
    same(read.pools.controls["no-op"], live.controls["no-op"], kind)
    assert {oct(p.stat().st_mode & 0o777) for p in (tmp_path / "b").iterdir()} == {"0o600"}


def same(found, live, kind):
    assert found.seeds == live.seeds
    assert np.array_equal(found.roles, live.roles)
    assert np.array_equal(found.pairs, live.pairs)
    assert np.array_equal(found.truth, live.truth)
    a, b = getattr(found, kind), getattr(live, kind)
    assert a.dtype == b.dtype
    assert a.tobytes() == b.tobytes()
    if kind != "top":
        assert found.phi.tobytes() == live.phi.tobytes()
    if kind != "given":
        assert np.array_equal(found.correct, live.correct)


def test_writing_twice_gives_the_same_bytes(tmp_path):
    assert bundle.write(tmp_path / "a", pools_of()) == bundle.write(tmp_path / "b", pools_of())
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_pools_that_know_different_things_make_no_bundle(tmp_path):
    mixed = pools_of(controls=False)
    other = pools_of("given", controls=False).need("after")
    with pytest.raises(BadData, match="all hold"):
        bundle.write(tmp_path / "b", Pools(mixed.ids, mixed.truth, K, (mixed.need("before"), other)))
    assert not (tmp_path / "b").exists()


# malformed bundles: each changes one thing, and repairs the digests, so that the thing itself must be found


def told(change):
    """A change of bundle.json."""

    def apply(folder):
        path = folder / "bundle.json"
        description = json.loads(path.read_text())
        result = change(description)
        path.write_text(json.dumps(description if result is None else result))

    return apply


def file(name, make):
    """Another file of this name, under its own digest."""

    def apply(folder):
        body = make((folder / name).read_bytes())
        (folder / name).write_bytes(body)
        redigest(folder)

    return apply


def raw(name, make):
    """Another file of this name, under the digest of the true one."""
    return lambda folder: (folder / name).write_bytes(make((folder / name).read_bytes()))


def redigest(folder):
    path = folder / "bundle.json"
    description = json.loads(path.read_text())
    for name in description["files"]:
        if (folder / name).is_file():
            description["files"][name] = sha256((folder / name).read_bytes()).hexdigest()
    path.write_text(json.dumps(description))


def npy(array, **options):
    body = io.BytesIO()
    np.save(body, array, **options)
    return body.getvalue()


def npz(**arrays):
    body = io.BytesIO()
    np.savez(body, **arrays)
    return body.getvalue()


def archive(*members, compression=zipfile.ZIP_STORED):
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", compression) as packed:
        for name, content in members:
            packed.writestr(name, content)
    return body.getvalue()


def header(text, body=b""):
    line = text.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(line).to_bytes(2, "little") + line + body


def changed(place, value):
    def make(body):
        array = np.load(io.BytesIO(body), allow_pickle=False)
        array[place] = value
        return npy(array)

    return make


def logits_with(place, value, dtype=np.float16):
    def make(body):
        array = np.load(io.BytesIO(body), allow_pickle=False)["logits"].astype(dtype)
        array[place] = value
        return npz(logits=array)

    return make


def encrypted(body):
    """Set the flag of encryption in both headers of the only member."""
    found = bytearray(body)
    found[6] |= 1
    found[body.index(b"PK\x01\x02") + 8] |= 1
    return bytes(found)


def put(**fields):
    return told(lambda d: d.update(fields))


def model(**fields):
    return told(lambda d: d["models"][0].update(fields))


def link(folder):
    (folder / "labels.npy").rename(folder / "elsewhere.npy")
    (folder / "labels.npy").symlink_to("elsewhere.npy")


def pipe(folder):
    (folder / "labels.npy").unlink()
    os.mkfifo(folder / "labels.npy")


M = sum(m for _, m in WORLDS) + 4
HUGE = "{'descr': '<f2', 'fortran_order': False, 'shape': (%d, %d, %d), }"
GOOD = HUGE % (M, N, K)
ROLES = "{'descr': '|u1', 'fortran_order': False, 'shape': (%d, %d), }"
SIZE = M * N * K * 2


def instead(**signal):
    """Another signal in the place of the logits."""

    def apply(folder):
        (name,) = signal
        (folder / f"{name}.npz").write_bytes(npz(**signal))
        told(lambda d: d["files"].pop("logits.npz") and None)(folder)
        told(lambda d: d.update(signal=name, files=d["files"] | {f"{name}.npz": ""}))(folder)
        redigest(folder)

    return apply


MALFORMED = {
    "no folder": lambda f: [p.unlink() for p in f.iterdir()] and f.rmdir(),
    "no description": lambda f: (f / "bundle.json").unlink(),
    "no labels": lambda f: (f / "labels.npy").unlink(),
    "no roles": lambda f: (f / "roles.npy").unlink(),
    "no signals": lambda f: (f / "logits.npz").unlink(),
    "labels are a folder": lambda f: (f / "labels.npy").unlink() or (f / "labels.npy").mkdir(),
    "labels are a link": link,
    "labels are a pipe": pipe,
    "description is empty": raw("bundle.json", lambda b: b""),
    "description is not JSON": raw("bundle.json", lambda b: b"{"),
    "description is a list": told(lambda d: [d]),
    "description is not UTF-8": raw("bundle.json", lambda b: b"\xff" + b),
    "description is nested too deeply": raw("bundle.json", lambda b: b"[" * 100_000),
    "a key occurs twice": raw("bundle.json", lambda b: b'{"format": "x", ' + b[1:]),
    "another format": put(format="expunge/bundle/v9"),
    "an unknown field": put(extra=1),
    "a field is missing": told(lambda d: d.pop("n_classes") and None),
    "no classes": put(n_classes=0),
    "one class, where every answer is right": put(n_classes=1),
    "a million million classes": put(n_classes=10**12),
    "classes as text": put(n_classes="many"),
    "another signal": put(signal="embeddings"),
    "a signal that leads out of the folder": put(signal="../logits"),
    "duplicate ids": told(lambda d: d["ids"].__setitem__(1, d["ids"][0])),
    "no ids": put(ids=[]),
    "one id too few": told(lambda d: d["ids"].pop() and None),
    "ids as numbers": put(ids=list(range(N))),
    "no models": put(models=[]),
    "one model too many": told(lambda d: d["models"].append({"world": "after", "pair": 9})),
    "an unknown world": model(world="during"),
    "a negative pair": model(pair=-1),
    "a pair twice in a world": model(pair=1),
    "pairs with different roles": told(
        lambda d: [m.update(pair=m["pair"] + (m["world"] == "after")) for m in d["models"]] and None
    ),
    "a control of the world before": model(control="no-op"),
    "a digest is wrong": told(lambda d: d["files"].update({"labels.npy": "0" * 64})),
    "a digest is missing": told(lambda d: d["files"].pop("roles.npy") and None),
    "a further file": told(lambda d: d["files"].update({"../../secret": "0" * 64})),
    "a byte is flipped": raw("roles.npy", lambda b: b[:-1] + bytes([b[-1] ^ 1])),
    "epsilon without a certified claim": put(epsilon=1.0),
    "a certified claim without epsilon": put(claim="certified"),
    "a negative epsilon": put(claim="certified", epsilon=-1.0),
    "epsilon is NaN": raw("bundle.json", lambda b: b'{"epsilon": NaN, ' + b[1:]),
    "a subgroup outside": put(subgroups={"x": [N]}),
    "labels are a pickle": file("labels.npy", lambda b: npy(np.array([{}] * N), allow_pickle=True)),
    "labels are not numpy's": file("labels.npy", lambda b: b"1 2 3"),
    "labels are cut": file("labels.npy", lambda b: b[:-1]),
    "labels go on": file("labels.npy", lambda b: b + b"\0"),
    "labels are fractions": file("labels.npy", lambda b: npy(np.zeros(N))),
    "labels of two dimensions": file("labels.npy", lambda b: npy(np.zeros((N, 1), np.int64))),
    "a label above": file("labels.npy", changed(0, K)),
    "a label below": file("labels.npy", changed(0, -1)),
    "a label that wraps around": file("labels.npy", lambda b: npy(np.full(N, 2**64 - 1, np.uint64))),
    "a role above": file("roles.npy", changed((0, 0), 4)),
    "roles of four bytes": file("roles.npy", lambda b: npy(np.zeros((M, N), np.uint32))),
    "roles turned": file("roles.npy", lambda b: npy(np.zeros((N, M), np.uint8))),
    "a bomb of roles": file("roles.npy", lambda b: header(ROLES % (10**9, 10**9))),
    "a header that never ends": file("roles.npy", lambda b: b"\x93NUMPY\x02\x00\xff\xff\xff\xff"),
    "a header with code": file("roles.npy", lambda b: header("{'descr': __import__('os').system('true')}")),
    "a header of another version": file("roles.npy", lambda b: b[:6] + b"\x09\x00" + b[8:]),
    "an object array": file("roles.npy", lambda b: header("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }")),
    "a record array": file("roles.npy", lambda b: npy(np.zeros(N, [("a", "u1")]))),
    "a size that overflows": file("roles.npy", lambda b: header(ROLES % (10**17, 10**17))),
    "a negative size": file("roles.npy", lambda b: header(ROLES % (-1, N))),
    "signals are not an archive": file("logits.npz", lambda b: b"PK"),
    "an archive that is cut": file("logits.npz", lambda b: b[:-30]),
    "an empty archive": file("logits.npz", lambda b: archive()),
    "two members": file("logits.npz", lambda b: npz(logits=np.zeros((M, N, K), np.float16), more=np.zeros(1))),
    "a member of another name": file("logits.npz", lambda b: npz(phi=np.zeros((M, N, K), np.float16))),
    "a member that leads out": file("logits.npz", lambda b: archive(("../logits.npy", npy(np.zeros(1))))),
    "a bomb of zeros": file(
        "logits.npz",
        lambda b: archive(("logits.npy", header(GOOD, bytes(10**8))), compression=zipfile.ZIP_DEFLATED),
    ),
    "a bomb in the header": file("logits.npz", lambda b: archive(("logits.npy", header(HUGE % (10**6, 10**6, 9))))),
    "a large archive": file("logits.npz", lambda b: b + bytes(10**6)),
    "another compression": file("logits.npz", lambda b: archive(("logits.npy", b"x"), compression=zipfile.ZIP_LZMA)),
    "an encrypted member": file("logits.npz", encrypted),
    "a member whose sum is wrong": file("logits.npz", lambda b: b.replace(b[300:302], b"\0\1", 1)),
    "signals that end early": file("logits.npz", lambda b: archive(("logits.npy", header(GOOD, bytes(SIZE - 2))))),
    "signals of other records": file("logits.npz", lambda b: npz(logits=np.zeros((M, N + 1, K), np.float16))),
    "signals are whole numbers": file("logits.npz", lambda b: npz(logits=np.zeros((M, N, K), np.int64))),
    "signals are complex": file("logits.npz", lambda b: npz(logits=np.zeros((M, N, K), np.complex64))),
    "a logit is NaN": file("logits.npz", logits_with((3, 2, 1), np.nan)),
    "a logit is infinite": file("logits.npz", logits_with((0, 0, 0), -np.inf)),
    "a logit is absurd": file("logits.npz", logits_with((0, 0, 0), 1e300, np.float64)),
    "log-probabilities above 0": instead(log_probs=np.ones((M, N, K), np.float32)),
    "a predicted class above": instead(top1=np.full((M, N), K)),
}


@pytest.mark.parametrize("how", MALFORMED)
def test_a_malformed_bundle_is_refused(tmp_path, how):
    folder = tmp_path / "b"
    bundle.write(folder, pools_of())
    bundle.read(folder)
    MALFORMED[how](folder)
    with pytest.raises(MalformedEvidence) as refused:
        bundle.read(folder)
    assert refused.value.message
    assert str(tmp_path) not in refused.value.message


def test_there_are_at_least_fifty_ways():
    assert len(MALFORMED) >= 50


def test_nothing_larger_than_allowed_is_read(tmp_path):
    bundle.write(tmp_path, pools_of())
    with pytest.raises(MalformedEvidence, match="more than"):
        bundle.read(tmp_path, limit_bytes=SIZE - 1)
    bundle.read(tmp_path, limit_bytes=SIZE)


def test_other_layouts_of_memory_are_read(tmp_path):
    """Fortran order and big-endian numbers are what other tools write."""
    live = pools_of()
    bundle.write(tmp_path, live)
    turned = np.concatenate([p.logits for p in (*live.pools, *live.controls.values())])
    (tmp_path / "logits.npz").write_bytes(npz(logits=np.asfortranarray(turned).astype(">f2", order="F")))
    (tmp_path / "labels.npy").write_bytes(npy(live.truth.astype(">i4")))
    redigest(tmp_path)
    read = bundle.read(tmp_path)
    assert read.pools.need("after").phi.tobytes() == live.need("after").phi.tobytes()
    assert read.pools.truth.dtype == np.int64


def test_an_interrupted_writer_leaves_no_bundle(tmp_path, monkeypatch):
    bundle.write(tmp_path, pools_of())
    write = bundle.files.write_durably

    def stop(path, data, **options):
        if path.name.endswith(".npz"):
            raise KeyboardInterrupt
        write(path, data, **options)

    monkeypatch.setattr(bundle.files, "write_durably", stop)
    with pytest.raises(KeyboardInterrupt):
        bundle.write(tmp_path, pools_of(dtype=np.float32))
    with pytest.raises(MalformedEvidence):
        bundle.read(tmp_path)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle")
    bundle.write(folder, pools_of())
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@settings(max_examples=300)
@given(
    name=st.sampled_from(["bundle.json", "labels.npy", "roles.npy", "logits.npz"]),
    cuts=st.lists(st.tuples(st.integers(0, 10**6), st.binary(max_size=4)), min_size=1, max_size=4),
    keep=st.integers(0, 10**6) | st.none(),
    repaired=st.booleans(),
)
def test_bytes_at_random_are_read_or_refused(good, tmp_path_factory, name, cuts, keep, repaired):
    folder = tmp_path_factory.mktemp("fuzz")
    for path, body in good.items():
        (folder / path).write_bytes(body)
    body = bytearray(good[name])
    for at, new in cuts:
        body[at % len(body) : at % len(body) + len(new)] = new
    (folder / name).write_bytes(bytes(body if keep is None else body[: keep % len(body)]))
    if repaired and name != "bundle.json":
        redigest(folder)
    try:
        read = bundle.read(folder)
    except MalformedEvidence:
        return
    assert all(np.isfinite(pool.phi).all() for pool in read.pools.pools)


def test_the_published_writer_is_short_pure_and_read(tmp_path, monkeypatch):
    """The page's writer has at most 20 lines, needs numpy alone, and what it writes is read."""
    code = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)[1]
    lines = [line for line in code.splitlines() if line.strip()]
    assert len(lines) <= 20
    tree = ast.parse(code)
    imported = {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
    imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported <= {"numpy", "json", "hashlib", "pathlib"}
    names = {}
    exec(code, names)
    live = pools_of(controls=False)
    models = [
        {"world": pool.world, "pair": int(pair), "seed": seed}
        for pool in live.pools
        for pair, seed in zip(pool.pairs, pool.seeds, strict=True)
    ]
    roles = np.concatenate([pool.roles for pool in live.pools])
    logits = np.concatenate([pool.logits for pool in live.pools])
    names["write_bundle"](tmp_path / "b", live.ids, live.truth, roles, logits, models)
    read = bundle.read(tmp_path / "b")
    for world, _ in WORLDS:
        assert read.pools.need(world).phi.tobytes() == live.need(world).phi.tobytes()
