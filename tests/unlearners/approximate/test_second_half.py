"""Methods U13 to U32 (second half): their promises of a deployment, of a stack, of cost, and of what they read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from unlearners.approximate.by_hand import forward, network, scene, weights  # noqa: E402
from unlearners.approximate.worlds import Spied, deployment, stack  # noqa: E402

from expunge import catalog  # noqa: E402
from expunge.core.conformance.watch import quiet_globals  # noqa: E402
from expunge.core.errors import BadInput, Unsupported  # noqa: E402
from expunge.core.request import ForgetRequest  # noqa: E402
from expunge.models.modules import seeded  # noqa: E402
from expunge.models.streams import Records  # noqa: E402
from expunge.unlearners.approximate.bad_teacher import BadTeacher  # noqa: E402
from expunge.unlearners.approximate.confuse import Confuse  # noqa: E402
from expunge.unlearners.approximate.contrast import Contrast  # noqa: E402
from expunge.unlearners.approximate.dampening import Dampening  # noqa: E402
from expunge.unlearners.approximate.delete import Delete  # noqa: E402
from expunge.unlearners.approximate.distil_reset import DistilReset  # noqa: E402
from expunge.unlearners.approximate.gap import Gap  # noqa: E402
from expunge.unlearners.approximate.matching import Matching  # noqa: E402
from expunge.unlearners.approximate.prune import Prune  # noqa: E402
from expunge.unlearners.approximate.random_layers import RandomLayers  # noqa: E402
from expunge.unlearners.approximate.saliency import Saliency  # noqa: E402
from expunge.unlearners.approximate.scrub import Scrub  # noqa: E402
from expunge.unlearners.approximate.small_gradients import SmallGradients  # noqa: E402
from expunge.unlearners.approximate.sparse import Sparse  # noqa: E402
from expunge.unlearners.approximate.transpose import Transpose  # noqa: E402
from expunge.unlearners.approximate.unsir import Unsir  # noqa: E402

NAMES = """
    scrub bad-teacher unsir gap delete saliency sparse dampening contrast small-gradients confuse prune transpose
    distil-reset random-layers matching
"""
METHODS = [catalog.build("unlearner", name) for name in NAMES.split()] + [
    Scrub(rewind=True, batch=16),
    Dampening(alpha=1.5),
    Dampening(score="norm", strength=0.5),
    Dampening(importance="batch", batch=16),
    Dampening(importance="batch", score="norm", batch=16),
    Contrast(rounds=2, batch=8, retain_batch=16),
    BadTeacher(epochs=3, batch=16),
    Unsir(noise=7, batch=16),
    Saliency(wrong=True, batch=8),
    Prune(epochs=1.7, batch=16),
    Matching(oracle=True, batch=16),
    SmallGradients(batch=16),
]
TRAINS = {"Gap", "Matching", "DistilReset"}
"""Methods that train on more than kept and forgotten records are gone over in `change` (holdout, trainings)."""


def ids(share=5):
    return ForgetRequest(records=tuple(deployment().data.ids[::share].tolist()))


def state(model):
    return {name: a.tobytes() for name, a in model.state().items()}


@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_deployment(method):
    """Before unchanged, ids gone, empty request identity, twice the same bits, no global state, something done."""
    given, request = deployment(), ids()
    before, flags = state(given.model), [part.training for part in given.model.module.modules()]
    with quiet_globals("unlearn"):
        outcome = method.unlearn(given, request)
    assert state(given.model) == before
    assert [part.training for part in given.model.module.modules()] == flags
    assert not outcome.after.data.id_set & set(request.records)
    assert len(outcome.after.data) == len(given.data) - len(request.records)
    assert state(method.unlearn(given, request).after.model) == state(outcome.after.model) != before
    assert state(method.unlearn(given, ForgetRequest()).after.model) == before
    assert outcome.guarantee.kind == "empirical"
    assert all(np.isfinite(a).all() for n, a in outcome.after.model.state().items() if n.startswith("weights/"))


@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_the_meter_counts_what_was_foretold(method):
    given, request = deployment(), ids()
    m = len(request.records)
    found = method.unlearn(given, request).cost.backward
    if type(method).__name__ in TRAINS:
        assert found >= method.passes(len(given.data) - m, m)
    else:
        assert found == method.passes(len(given.data) - m, m)


STACKS = [
    Scrub(epochs=3, msteps=2, batch=16),
    Saliency(epochs=2, batch=16),
    Sparse(epochs=2, batch=16),
    Delete(batch=8),
    Contrast(rounds=2, batch=8, retain_batch=16),
    Dampening(),
    Dampening(alpha=1.1, score="norm"),
    Dampening(importance="batch", batch=16, alpha=1.2),
]


@pytest.mark.parametrize("method", STACKS, ids=repr)
def test_a_stack_is_treated_as_one_by_one(method):
    universe, before, roles, keys = stack()
    after = method.unlearn_many(before, universe, roles, keys)
    for i, key in enumerate(keys):
        member = replace(
            deployment(),
            data=universe.take(roles[0][i] | roles[1][i]),
            key=key,
            model=before.models()[i],
            holdout=None,
        )
        request = ForgetRequest(records=tuple(universe.ids[roles[0][i]].tolist()))
        alone = weights(method.unlearn(member, request).after.model.module)
        together = weights(after.models()[i].module)
        assert max(np.abs(a - b).max() for a, b in zip(alone, together, strict=True)) <= 1e-6
        assert any((a != b).any() for a, b in zip(alone, weights(member.model.module), strict=True))


def test_methods_that_do_not_stack_say_so():
    universe, before, roles, keys = stack()
    for method in METHODS:
        if not method.stacks or getattr(method, "rewind", False):
            with pytest.raises(Unsupported):
                method.unlearn_many(before, universe, roles, keys)


@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_each_reads_what_it_declares(method):
    """B4: what is declared is read, of the forgotten all of them; what is not declared is not."""

    def train(net, samples, seed):
        samples.fetch(np.arange(len(samples)))
        return net

    given = scene(train=train)
    spies = {part: Spied(getattr(given, part)) for part in ("forgotten", "kept", "holdout")}
    method.change(replace(given, **{part: spy.watched() for part, spy in spies.items()}))
    wanted = set(method.needs) | ({"holdout"} if getattr(method, "rewind", False) else set())
    for part, spy in spies.items():
        if part in wanted:
            assert spy.read, f"{part} records are declared and not read"
        else:
            assert not spy.read, f"{part} records are read and not declared"
    if "forgotten" in wanted:
        assert spies["forgotten"].read == {0, 1}


@pytest.mark.parametrize("size", [1, 16, 64])
def test_dampening_depends_on_no_order_and_no_batches(size):
    """U21, K07, B11: max |Δθ| ≤ 1e-6 relative under three reshufflings and batches of 1, 16 and 64 records."""
    first = Dampening(alpha=1.2).change(scene(network().float()))
    for seed in range(3):
        given = scene(network().float())
        sides = {part: shuffled(getattr(given, part), seed, size) for part in ("forgotten", "kept")}
        again = Dampening(alpha=1.2).change(replace(given, **sides))
        for a, b in zip(weights(first), weights(again), strict=True):
            assert np.abs(a - b).max() <= 1e-6 * np.abs(a).max()


def shuffled(records, seed, size):
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(records))

    class Blocked(Records):
        def blocks(self, _=0):
            return Records.blocks(self, size)

    mixed = records.take(order)

    def fetch(rows):
        x, y = mixed.fetch(rows)
        return x.float(), y

    return Blocked(fetch, mixed.words)


def test_dampening_by_batches_is_the_published_defect():
    """B11: squares of a batch's mean gradient depend on the batches."""
    found = [weights(Dampening(alpha=1.2, importance="batch", batch=b).change(scene())) for b in (1, 2)]
    assert any(np.abs(a - b).max() > 1e-6 for a, b in zip(*found, strict=True))


def test_dampening_says_when_it_would_do_nothing():
    """I_f / I_D ≤ n / m, as I_D counts the forgotten records too: α = 10 dampens nothing when a tenth is forgotten."""
    with pytest.raises(Unsupported, match="dampens no weight"):
        Dampening(alpha=10.0).unlearn(deployment(), ids())
    with pytest.raises(BadInput):
        Dampening(alpha=-1.0).unlearn(deployment(), ids())


def test_holdout_is_asked_for():
    bare = replace(deployment(), holdout=None)
    for method in (Gap(), DistilReset(), Scrub(rewind=True)):
        with pytest.raises(Unsupported, match="holdout"):
            method.promise(bare)


def test_saliency_leaves_the_other_weights_bit_for_bit():
    """B10: two epochs of decay and momentum move no masked weight; θ₀ is captured once."""
    module = network()
    after = Saliency(share=0.25, epochs=2, rate=0.1, momentum=0.9, decay=0.1).change(scene(module))
    moved = [(a != b) for a, b in zip(weights(after), weights(module), strict=True)]
    assert 0 < sum(int(m.sum()) for m in moved) <= 27 // 4


def convolutional(norm=False):
    with seeded(4):
        layers = [torch.nn.Conv2d(1, 3, 3, padding=1), *([torch.nn.BatchNorm2d(3)] if norm else []), torch.nn.ReLU()]
        return torch.nn.Sequential(*layers, torch.nn.Flatten(), torch.nn.Linear(3 * 16, 3)).eval()


@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_networks_of_images(method):
    """Convolutions and running statistics: the module before is untouched, the statistics are of kept records."""
    if "batch" in repr(method) and isinstance(method, Dampening) and method.importance == "batch":
        method = replace(method, batch=4)
    draw = torch.Generator().manual_seed(1)
    images = {n: torch.randn((count, 1, 4, 4), generator=draw) for n, count in (("forgotten", 4), ("kept", 12))}

    def side(part):
        x = images.get(part, images["kept"][:6] + 1)
        return Records.of(x, torch.arange(len(x)) % 3, np.arange(len(x)).astype(np.uint64) * 77 + len(part))

    module = convolutional(norm=True)
    before = {n: t.clone() for n, t in module.state_dict().items()}
    given = scene(module, fresh=lambda purpose: convolutional(True), train=lambda net, samples, seed: net)
    given = replace(given, **{part: side(part) for part in ("forgotten", "kept", "holdout")})
    after = method.change(given)
    assert all(torch.equal(t, before[n]) for n, t in module.state_dict().items())
    assert any(not torch.equal(t, before[n]) for n, t in after.state_dict().items())
    assert not after.training
    with torch.no_grad():
        seen = after[0](images["kept"])
    assert torch.allclose(after[1].running_mean, seen.mean((0, 2, 3)), atol=1e-5)


def test_an_untrained_teacher_of_any_architecture():
    """W13: the bad teacher is drawn by the scene, not built from a name."""
    asked = []

    def fresh(purpose):
        asked.append(purpose)
        return network(8)

    BadTeacher().change(scene(fresh=fresh))
    assert asked == ["bad teacher"]


def test_rewinding_needs_like_records():
    with pytest.raises(Unsupported, match="class"):
        Scrub(rewind=True, epochs=1).change(replace(scene(), holdout=scene().kept.take(np.array([0]))))


def test_oracle_matching_is_nearest_to_the_oracle():
    """U32: towards the retrained model's answers by more than any step of the other kind."""
    aim = forward(weights(network(40)), scene().kept.fetch(np.arange(4))[0].numpy())[0]
    given = scene(train=lambda net, samples, seed: network(40))
    x = given.kept.fetch(np.arange(4))[0].numpy()
    far = np.abs(forward(weights(given.module), x)[0] - aim).mean()
    after = Matching(oracle=True, epochs=200, rate=0.02).change(given)
    assert np.abs(forward(weights(after), x)[0] - aim).mean() < 0.2 * far


def test_trainings_anew_are_in_the_prediction():
    """What trains networks anew is not cheaper than that: two whole trainings (all, and without one group) take two."""
    given = deployment()
    m = len(ids().records)
    told = {type(x): x.predict_cost(given, ids()).seconds for x in (Matching(oracle=True), Gap())}
    two = Matching(groups=1).predict_cost(given, ids())
    n, aside = len(given.data), len(given.holdout)
    steps = [x.passes(n - m, m) / (4 * n) for x in (Matching(), Gap())]
    assert two.seconds == pytest.approx(steps[0] + 1 + (n - m) / n)
    assert told[Matching] == pytest.approx(steps[0] + (n - m) / n)
    assert told[Gap] == pytest.approx(steps[1] + (m + aside) / n)
    assert Matching().predict_cost(replace(given, fit_s=None), ids()).seconds is None
    assert Gap().predict_cost(given, ForgetRequest()).seconds == 0.0


def test_unknown_networks_are_refused():
    class Bare(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones((2, 3), dtype=torch.float64))

        def forward(self, x):
            return x @ self.weight

    for method in (Prune(), Confuse(), Transpose(), RandomLayers(), SmallGradients(), DistilReset()):
        with pytest.raises(Unsupported):
            method.change(scene(Bare()))


def test_bad_settings():
    with pytest.raises(BadInput):
        Matching(groups=0).change(scene(train=lambda net, samples, seed: net))
    for method in (Matching(), Gap(), Unsir()):
        assert method.passes(10, 2) > 0
    with pytest.raises(Unsupported, match="anew"):
        Gap().change(scene())
