"""Stacks and streams: replicas trained together are those trained alone; a stream starts anywhere; bookmarks resume."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sklearn.datasets import load_digits  # noqa: E402

from expunge.core.conformance.watch import quiet_globals  # noqa: E402
from expunge.core.dataset import Dataset  # noqa: E402
from expunge.core.errors import BadInput, StoreDamaged, Unsupported  # noqa: E402
from expunge.core.seeds import Key  # noqa: E402
from expunge.models import vision  # noqa: E402
from expunge.models.bookmarks import Bookmark  # noqa: E402
from expunge.models.descent import Pace, Watch, descend  # noqa: E402
from expunge.models.losses import nats  # noqa: E402
from expunge.models.modules import seeded  # noqa: E402
from expunge.models.network import Network  # noqa: E402
from expunge.models.stack import Many, Stacked  # noqa: E402
from expunge.models.streams import Records, n_batches  # noqa: E402


def digits(n=400):
    X, y = load_digits(return_X_y=True)
    data = Dataset.from_vectors((X[:n] / 16).astype(np.float32), y[:n].astype(str))
    return replace(data, classes=tuple("0123456789"))


def some_members(data, m, share=0.4):
    draw = np.random.Generator(np.random.PCG64(3))
    return draw.random((m, len(data))) < share + 0.2 * draw.random((m, 1))


def largest_gap(a, b):
    pairs = zip(a.parameters(), b.parameters(), strict=True)
    return max(float((p - q).detach().abs().max()) for p, q in pairs)


SHAPED = {"shape": (1, 8, 8), "form": "plain", "epochs": 1, "batch": 32, "optimiser": "sgd", "rate": 0.05}
LEARNERS = {
    "sgd": Network((16,), epochs=2, batch=32, optimiser="sgd", rate=0.05, form="plain"),
    "adam, scaled": Network((16,), epochs=2, batch=32, rate=0.01),
    "convolutions": Network(module="small_cnn", **SHAPED),
    "transformer": Network(module="vit", **SHAPED),
}


@pytest.mark.parametrize("name", LEARNERS)
def test_replicas_equal_models_trained_alone(name):
    """Unequal member counts are filled up with weight zero; Adam is scale-free, so that tiny gradients show more."""
    learner, data = LEARNERS[name], digits(160 if name == "transformer" else 400)
    members = some_members(data, 3 if name == "transformer" else 6)
    keys = [Key.public(f"k{i}") for i in range(len(members))]
    with quiet_globals("fit_many"):
        stack = learner.fit_many(data, members, keys)
    alone = [learner.fit(data.take(rows), key) for rows, key in zip(members, keys, strict=True)]
    assert len({n_batches(int(rows.sum()), learner.batch) for rows in members}) > 1 or name == "transformer"
    for together, one in zip(stack.models(), alone, strict=True):
        assert largest_gap(together.module, one.module) <= (1e-5 if name == "transformer" else 1e-6)
    asked = stack.logits(data)
    assert asked.shape == (len(members), len(data), 10)
    assert np.abs(asked[0] - alone[0].logits(data)).max() < 1e-4


def test_chunks_do_not_matter(monkeypatch):
    data, learner = digits(), LEARNERS["sgd"]
    members = some_members(data, 5)
    keys = [Key.public(f"k{i}") for i in range(5)]
    whole = learner.fit_many(data, members, keys)
    monkeypatch.setattr("expunge.models.network_stack.LARGEST", 2)
    parts = learner.fit_many(data, members, keys)
    for a, b in zip(whole.models(), parts.models(), strict=True):
        assert largest_gap(a.module, b.module) <= 1e-6


def test_what_keeps_statistics_or_drops_units_is_not_stacked():
    data = digits(60)
    members, keys = np.ones((2, 60), bool), [Key.public(0), Key.public(1)]
    for learner in (
        Network((4,), dropout=0.5),
        Network.of(lambda a, b: torch.nn.Sequential(torch.nn.BatchNorm1d(a), torch.nn.Linear(a, b)), "normed"),
    ):
        with pytest.raises(Unsupported, match="stack"):
            learner.fit_many(data, members, keys)
    samples = Stacked.of(torch.zeros(9, 2), torch.zeros(9).long(), [np.arange(4), np.arange(9)], np.zeros((2, 9), "u8"))
    with pytest.raises(BadInput, match="equally many"):
        samples.stream("kept", range(1), 4)


def test_each_replica_is_clipped_by_itself():
    with seeded(0):
        modules = [torch.nn.Linear(2, 3) for _ in range(3)]
    many = Many(modules)
    for p in many.parameters():
        p.grad = torch.ones_like(p) * torch.tensor([0.01, 1.0, 100.0]).reshape(-1, *[1] * (p.dim() - 1))
    many.clip(1.0)
    norms = torch.stack([p.grad.flatten(1).norm(dim=1) for p in many.parameters()]).norm(dim=0)
    assert np.allclose(norms, [0.03, 1.0, 1.0], atol=1e-4)


def records(n=23):
    draw = np.random.Generator(np.random.PCG64(5))
    X = torch.from_numpy(draw.normal(size=(n, 4)).astype(np.float32))
    return Records.of(X, torch.from_numpy(draw.integers(0, 3, n)), Key.public(1).words(range(n)))


def test_a_stream_starts_at_any_step():
    kept, forgotten = records(23), records(5)
    stream = kept.stream("kept", range(3), 4).beside(forgotten.stream("forgotten", range(1), 2))
    stream = stream.then(forgotten.stream("forgotten", range(2, 4), 2)).first(40)
    whole = list(stream)
    assert len(whole) == len(stream) == 40
    for at in (0, 1, 6, 17, 18, 39):
        rest = list(stream.start(at))
        assert len(rest) == 40 - at
        for a, b in zip(whole[at:], rest, strict=True):
            assert torch.equal(a.x, b.x)
            assert a.part == b.part
            assert (a.partner is None) == (b.partner is None)
            assert a.partner is None or torch.equal(a.partner.x, b.partner.x)


class Stop(Exception):
    pass


def stopping(at):
    def progress(done, n):
        if done == at:
            raise Stop

    return progress


@pytest.mark.parametrize("pace", [Pace("adam", 0.01, decay=0.1), Pace("sgd", 0.1, momentum=0.9)], ids=["adam", "sgd"])
def test_an_interrupted_descent_goes_on_to_the_same_weights(tmp_path, pace):
    with seeded(0):
        module = vision.perceptron((4, 8, 3), 0.3)
    stream = records().stream("kept", range(6), 5)
    whole = descend(module, stream, nats, pace, seed=3)
    for at in (1, 7, 8):
        with pytest.raises(Stop):
            descend(module, stream, nats, pace, seed=3, watch=Watch(progress=stopping(at), bookmark=mark(tmp_path)))
    steps = []
    watch = Watch(progress=lambda done, n: steps.append((done, n)), bookmark=mark(tmp_path))
    after = descend(module, stream, nats, pace, seed=3, watch=watch)
    assert steps[0] == (9, len(stream))
    assert all(torch.equal(a, b) for a, b in zip(after.parameters(), whole.parameters(), strict=True))
    again = descend(module, stream, nats, pace, seed=3, watch=replace(watch, bookmark=mark(tmp_path)))
    assert len(steps) == len(stream) - 8
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), whole.parameters(), strict=True))


def mark(folder):
    return Bookmark(folder, "run", 1e9)


def test_a_bookmark_of_another_run_is_refused(tmp_path):
    module = torch.nn.Linear(2, 2)
    mark(tmp_path).finish("0", module)
    with pytest.raises(BadInput, match="another run"):
        Bookmark(tmp_path, "other")
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(StoreDamaged):
        mark(tmp_path)


def test_networks_have_the_sizes_of_the_specification():
    sizes = {name: sum(p.numel() for p in build().parameters()) for name, build in vision.NETWORKS.items()}
    assert sum(p.numel() for p in vision.perceptron((64, 128, 10)).parameters()) == 9_610
    assert sizes["small_cnn"] == 9_098
    assert sizes["resnet9"] == sizes["resnet9_batch"] == 6_573_130
    assert sizes["resnet18"] == sizes["resnet18_batch"] == 11_173_962
    assert sizes["resnet20"] == sizes["resnet20_batch"] == 269_722
    assert sizes["vit"] == 811_146


def test_half_precision_learns_about_the_same():
    """Forward passes in bfloat16, weights and steps in float32."""
    data, key = digits(), Key.public(0)
    learner = Network((16,), epochs=10, batch=32, optimiser="sgd", rate=0.05, form="plain")
    whole, half = learner.fit(data, key), replace(learner, precision="bfloat16").fit(data, key)
    assert half.module[0].weight.dtype == torch.float32
    assert 0 < largest_gap(whole.module, half.module) < 0.3
    assert (whole.logits(data).argmax(1) == half.logits(data).argmax(1)).mean() > 0.95


def test_devices_that_are_not_there():
    data, key = digits(40), Key.public(0)
    with pytest.raises(BadInput, match="no device"):
        Network((4,), device="abacus").fit(data, key)
    if not torch.cuda.is_available():
        with pytest.raises(Unsupported, match="graphics"):
            Network((4,), device="cuda").fit(data, key)
    with pytest.raises(BadInput, match="precision"):
        Network((4,), precision="float8").fit(data, key)


@pytest.mark.parametrize("name", ["small_cnn", "resnet9", "resnet20", "vit"])
def test_networks_of_images_answer(name):
    module = vision.over_rows(name, (3, 16, 16), (768, 7)).eval()
    assert module(torch.zeros(2, 768)).shape == (2, 7)
    with pytest.raises(BadInput, match="shape"):
        vision.over_rows(name, (3, 16, 16), (700, 7))
