"""Fine-tuning, ascent, their sum, relabelling and last layers: two steps each, computed again in numpy float64."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from unlearners.approximate import plain  # noqa: E402

from expunge.core.errors import BadInput, Unsupported  # noqa: E402
from expunge.models.descent import Pace, descend  # noqa: E402
from expunge.models.losses import nats  # noqa: E402
from expunge.models.network import factors  # noqa: E402
from expunge.unlearners.approximate.ascent import Ascent  # noqa: E402
from expunge.unlearners.approximate.finetune import Finetune  # noqa: E402
from expunge.unlearners.approximate.last_layers import LastLayers  # noqa: E402
from expunge.unlearners.approximate.negative_plus import NegativePlus  # noqa: E402
from expunge.unlearners.approximate.relabel import Relabel, mingled  # noqa: E402
from expunge.unlearners.scene import blocks_of, only  # noqa: E402


def agree(module, w):
    assert np.abs(plain.theta(module) - w).max() <= 1e-10


def test_finetune():
    """U04 with momentum and decay, and the schedule of a preset."""
    scene = plain.scene()
    method = Finetune(epochs=2, rate=0.3, batch=4, schedule="cosine")
    w, step = plain.theta(scene.module), plain.Sgd(0.3, 0.9, 5e-4)
    for batch, factor in zip(scene.stream("kept", 2, 4), (1.0, 0.5), strict=True):
        w = step(w, plain.slope(w, *plain.arrays(batch)), factor)
    agree(method.change(scene), w)


@pytest.mark.parametrize(("preset", "epochs", "rate"), [("starter", 5, 0.1), ("ssd", 5, 0.02)])
def test_presets_of_finetune(preset, epochs, rate):
    """U04's presets: five epochs, cosine to zero from 0.1, and one cycle that peaks at 0.02."""
    method = getattr(Finetune, preset)()
    shape = factors(method.schedule, 100)
    assert (method.epochs, method.rate) == (epochs, rate)
    assert max(shape(i) for i in range(100)) == pytest.approx(1, abs=0.02)
    assert shape(99) < 0.02


def test_ascent():
    """U05: clipped steps uphill; a record above the cap counts nothing."""
    scene = plain.scene(forgotten=3)
    w = plain.theta(scene.module)
    X, y = plain.arrays(next(iter(scene.forgotten.blocks())))
    cap = float(np.sort(plain.losses(w, X, y))[1]) + 1e-3  # one of the three is above
    method = Ascent(epochs=2, rate=0.2, momentum=0.9, clip=0.05, cap=cap, batch=3)
    step = plain.Sgd(0.2, 0.9)
    for batch in scene.stream("forgotten", 2, 3):
        X, y = plain.arrays(batch)
        g = -plain.slope(w, X, y, (plain.losses(w, X, y) <= cap) / 3)
        w = step(w, g * min(1.0, 0.05 / (np.linalg.norm(g) + 1e-6)))
    agree(method.change(scene), w)


def test_ascent_stops_at_the_cap():
    """Without the cap the loss of six records grows far beyond it; with it, records that are above are left alone."""
    scene = plain.scene(forgotten=6)
    block = next(iter(scene.forgotten.blocks()))
    found = [Ascent(epochs=200, rate=0.5, clip=None, cap=cap, batch=6).change(scene) for cap in (2.0, None)]
    capped, free = (plain.losses(plain.theta(m), *plain.arrays(block)).mean() for m in found)
    assert capped < 5 < free


def test_negative_plus():
    """U06: descends the kept and climbs the forgotten records in the same two steps; these are gone over again."""
    scene = plain.scene()
    method = NegativePlus(alpha=0.7, epochs=2, rate=0.4, momentum=0.5, batch=4)
    w, step = plain.theta(scene.module), plain.Sgd(0.4, 0.5)
    for keep, forget in zip(scene.stream("kept", 2, 4), scene.stream("forgotten", 2, 4), strict=True):
        w = step(w, 0.7 * plain.slope(w, *plain.arrays(keep)) - 0.3 * plain.slope(w, *plain.arrays(forget)))
    agree(method.change(scene), w)
    assert NegativePlus.ruli().alpha == 0.9


@pytest.mark.parametrize("labels", ["any", "wrong"])
def test_relabel(labels):
    """U07: an epoch teaches random classes for the forgotten records, then the true ones of the kept."""
    scene = plain.scene()
    method = Relabel(epochs=1, rate=0.3, labels=labels, batch=4)
    w, step = plain.theta(scene.module), plain.Sgd(0.3, 0.9, 5e-4)
    (forget,), (keep,) = scene.stream("forgotten", 1, 4), scene.stream("kept", 1, 4)
    drawn = scene.labels(forget, other=labels == "wrong").numpy()
    w = step(w, plain.slope(w, forget.x.numpy(), drawn))
    w = step(w, plain.slope(w, *plain.arrays(keep)))
    agree(method.change(scene), w)


def test_random_classes():
    """Drawn anew each epoch, `any` includes the true class, `wrong` never does, and both spread over the others."""
    scene = plain.scene(forgotten=600)
    epochs = list(scene.stream("forgotten", 2, 600))
    for other, share in ((False, 1 / 3), (True, 0.0)):
        drawn = [scene.labels(batch, other=other) for batch in epochs]
        assert abs(float((drawn[0] == epochs[0].y).double().mean()) - share) < 0.06
        assert float((torch.bincount(drawn[0], minlength=3) / 600).max()) < 0.5
        order = [np.argsort(batch.words) for batch in epochs]
        assert (drawn[0][order[0]] != drawn[1][order[1]]).any()


def test_relabel_once():
    """U07's `amnesiac`: classes of epoch 0 throughout, batches of forgotten and kept records mingled."""
    scene = plain.scene(kept=4, forgotten=2)
    method = Relabel(epochs=2, rate=0.3, labels="wrong", once=True, batch=4)
    w, step = plain.theta(scene.module), plain.Sgd(0.3, 0.9, 5e-4)
    for epoch in range(2):
        (forget,), (keep,) = (scene.stream(part, range(epoch, epoch + 1), 4) for part in ("forgotten", "kept"))
        w = step(w, plain.slope(w, forget.x.numpy(), scene.labels(forget._replace(epoch=0), other=True).numpy()))
        w = step(w, plain.slope(w, *plain.arrays(keep)))
    agree(method.change(scene), w)
    assert (Relabel.amnesiac().epochs, Relabel.amnesiac().rate) == (3, 1e-4)


def test_mingled_batches_are_spread():
    """Two batches among six: each half holds one; every batch comes once, and a start in the middle goes on there."""
    scene = plain.scene(kept=12, forgotten=4)
    stream = mingled(scene.stream("forgotten", 1, 2), scene.stream("kept", 1, 2))
    names = [batch.part for batch in stream]
    assert sorted(names) == ["forgotten"] * 2 + ["kept"] * 6
    assert names[:4].count("forgotten") == names[4:].count("forgotten") == 1
    whole = [batch.words.tolist() for batch in stream]
    for begin in range(9):
        assert [batch.words.tolist() for batch in stream.start(begin)] == whole[begin:]


@pytest.mark.parametrize("anew", [False, True])
def test_last_layers(anew):
    """U08: CF-0 and EU-0: only the head moves; after half of the steps the rate is a thousandth."""
    scene = plain.scene()
    w = plain.theta(scene.module)
    if anew:
        w[12:] = plain.theta(plain.network(11))[12:]
    step = plain.Sgd(0.3, 0.9, 0.1)
    for batch, factor in zip(scene.stream("kept", 2, 4), (1.0, 1e-3), strict=True):
        g = plain.slope(w, *plain.arrays(batch))
        w = np.concatenate([w[:12], step(w[12:], g[12:], factor)])
    after = LastLayers(k=0, anew=anew, epochs=2, rate=0.3, batch=4).change(scene)
    agree(after, w)
    assert plain.theta(after)[:12].tobytes() == plain.theta(scene.module)[:12].tobytes()


def test_frozen_layers_keep_every_bit():
    """B10: decay and momentum move masked weights where only the gradient is masked; ours do not, in two epochs."""
    scene = plain.scene(kept=8)
    body = plain.theta(scene.module)[:12].tobytes()
    assert plain.theta(LastLayers(k=0, epochs=2, batch=4).change(scene))[:12].tobytes() == body
    mask = only(scene.module, blocks_of(scene.module)[-1])
    public = descend(scene.module, scene.stream("kept", 2, 4), nats, Pace("sgd", 0.01, 0.9, 0.1, scales=mask))
    assert plain.theta(public)[:12].tobytes() != body  # the defect: a masked gradient alone


def test_all_layers_with_the_training_recipe_are_a_retraining():
    """U08: EU over all layers ≡ the recipe from first weights, bit for bit; its own recipe is another."""
    calls = []

    def train(module, samples, seed):
        calls.append(seed)
        return descend(module, samples.stream("kept", range(3), 2, 5), nats, Pace("sgd", 0.1), seed=seed)

    scene = plain.scene(train=train)
    after = LastLayers.retraining().change(scene)
    assert plain.theta(after).tobytes() == plain.theta(train(plain.network(11), scene.kept, scene.seed)).tobytes()
    assert calls == [scene.seed] * 2


def test_what_cannot_be_done_is_said():
    with pytest.raises(BadInput, match="all layers"):
        LastLayers(recipe="training").change(plain.scene())
    with pytest.raises(BadInput, match="k must be"):
        LastLayers(k=-1).change(plain.scene())
    with pytest.raises(Unsupported, match="untrained module"):
        LastLayers.eu().change(plain.scene(fresh=None))
    with pytest.raises(Unsupported, match="how the network was trained"):
        LastLayers.retraining().change(plain.scene())
