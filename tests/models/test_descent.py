"""The gradient loop: two steps by hand, nothing outside is touched, masks hold every byte, equal seeds equal bits."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from expunge.core.conformance.watch import quiet_globals  # noqa: E402
from expunge.core.errors import BadData, BadInput  # noqa: E402
from expunge.models.descent import Meter, Pace, Watch, descend  # noqa: E402
from expunge.models.losses import nats, squares  # noqa: E402
from expunge.models.modules import copied, recalibrated, seeded  # noqa: E402
from expunge.models.streams import epoch_rows, n_batches  # noqa: E402
from expunge.models.vision import perceptron  # noqa: E402

PACES = [
    Pace(kind, 0.1, momentum=momentum, decay=decay)
    for kind in ("sgd", "adam", "adamw")
    for decay in (0.0, 0.1)
    for momentum in (0.0, 0.9)
]


def small(dropout=0.0, norm=False):
    with seeded(3):
        module = perceptron((2, 4, 3), dropout)
    return torch.nn.Sequential(module[0], torch.nn.BatchNorm1d(4), *module[1:]) if norm else module


def batches(n=4, size=6):
    draw = np.random.Generator(np.random.PCG64(5))
    X = torch.from_numpy(draw.normal(size=(n, size, 2)).astype(np.float32))
    y = torch.from_numpy(draw.integers(0, 3, (n, size)))
    return list(zip(X, y, strict=True))


def bytes_of(module):
    return {name: t.detach().numpy().tobytes() for name, t in module.state_dict().items()}


def test_two_steps_by_hand():
    """Two steps of plain gradient descent on 6 records by a 2-4-3 network, computed again in numpy float64."""
    module = small().double()
    W1, b1, W2, b2 = (p.detach().numpy().copy() for p in module.parameters())
    steps = [(X.double(), y) for X, y in batches(2)]
    after = descend(module, steps, nats, Pace("sgd", 0.5))
    for X, y in steps:
        hidden = np.maximum(X.numpy() @ W1.T + b1, 0)
        scores = hidden @ W2.T + b2
        shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        slope = (shares - np.eye(3)[y.numpy()]) / len(y)
        back = slope @ W2 * (hidden > 0)
        W2, b2 = W2 - 0.5 * slope.T @ hidden, b2 - 0.5 * slope.sum(axis=0)
        W1, b1 = W1 - 0.5 * back.T @ X.numpy(), b1 - 0.5 * back.sum(axis=0)
    for mine, theirs in zip(after.parameters(), (W1, b1, W2, b2), strict=True):
        assert np.abs(mine.detach().numpy() - theirs).max() <= 1e-10


@pytest.mark.parametrize("pace", PACES, ids=lambda p: f"{p.optimiser} {p.decay} {p.momentum}")
def test_a_mask_of_zeros_leaves_every_byte(pace):
    module = small()
    nothing = {name: torch.zeros_like(p, dtype=torch.bool) for name, p in module.named_parameters()}
    after = descend(module, batches(), nats, Pace(**{**vars(pace), "mask": nothing}))
    assert bytes_of(after) == bytes_of(module)
    some = {"0.weight": torch.tensor([[True, False]] * 4)}
    moved = descend(module, batches(), nats, Pace(**{**vars(pace), "mask": some}))
    before, now = module[0].weight.detach().numpy(), moved[0].weight.detach().numpy()
    assert now[:, 1].tobytes() == before[:, 1].tobytes()
    assert (now[:, 0] != before[:, 0]).all()


def test_nothing_outside_is_touched():
    module = small(dropout=0.5, norm=True)
    module.eval()
    module[1].train()
    before, flags = bytes_of(module), [part.training for part in module.modules()]
    settings = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with quiet_globals("descend"):
        first = descend(module, batches(), nats, seed=7)
        second = descend(module, batches(), nats, seed=7)
        other = descend(module, batches(), nats, seed=8)
    assert bytes_of(first) == bytes_of(second)
    assert bytes_of(first) != bytes_of(other)  # dropout draws
    assert bytes_of(module) == before
    assert [part.training for part in module.modules()] == flags == [part.training for part in first.modules()]
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == settings


def test_an_interrupt_changes_nothing():
    def stop(done, total):
        if done == 2:
            raise KeyboardInterrupt

    module = small()
    before, threads = bytes_of(module), torch.get_num_threads()
    with pytest.raises(KeyboardInterrupt):
        descend(module, batches(), nats, watch=Watch(progress=stop))
    assert bytes_of(module) == before
    assert torch.get_num_threads() == threads


def test_copies_share_no_storage():
    class Tied(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(2))

        def __deepcopy__(self, memo):
            return self

    assert not {p.data_ptr() for p in copied(small()).parameters()} & {p.data_ptr() for p in small().parameters()}
    with pytest.raises(BadInput, match="shares tensors"):
        copied(Tied())


def test_what_it_cost_and_what_is_done_after_steps():
    meter, seen, told = Meter(), [], []
    pace = Pace("sgd", 0.1, clip=1e-9, schedule=lambda step: 1.0 / (step + 1), after_step=[lambda m, s: seen.append(s)])
    module = small()
    after = descend(module, batches(), nats, pace, watch=Watch(meter, lambda *at: told.append(at), 3))
    assert (meter.forward, meter.backward, meter.steps, meter.products) == (18, 18, 3, 0)
    assert seen == [0, 1, 2]
    assert told == [(1, 3), (2, 3), (3, 3)]
    for a, b in zip(module.parameters(), after.parameters(), strict=True):
        assert (a - b).abs().max() < 1e-8


def test_ascent_goes_up_and_may_leave_statistics_alone():
    module, data = small(norm=True), batches(20)
    up = descend(module, data, nats, Pace("sgd", -0.1, freeze_norms=True))
    assert torch.equal(up[1].running_mean, module[1].running_mean)
    down = descend(module, data, nats, Pace("sgd", 0.1))
    assert not torch.equal(down[1].running_mean, module[1].running_mean)
    loss = [nats(deepcopy(m).eval(), data[0]).item() for m in (up, module, down)]
    assert loss[0] > loss[1] > loss[2]


def test_statistics_can_be_taken_again_from_kept_records():
    module, data = descend(small(norm=True), batches(), nats), batches(3)
    again = recalibrated(module, [x for x, _ in data])
    with torch.no_grad():
        means = torch.stack([module[0](X).mean(dim=0) for X, _ in data]).mean(dim=0)
    assert torch.allclose(again[1].running_mean, means, atol=1e-6)
    assert again[1].momentum == module[1].momentum
    assert bytes_of(recalibrated(again, [x for x, _ in data])) == bytes_of(again)


def test_batches_are_a_function_of_the_set_of_records():
    words = np.random.Generator(np.random.PCG64(1)).integers(0, 2**64, 41, np.uint64)
    assert n_batches(41, 8) == 5
    found = [rows.tolist() for e in range(3) for rows in epoch_rows(words, e, 8, 5)]
    assert [len(rows) for rows in found] == [8, 8, 8, 8, 9] * 3  # never a batch of one
    assert all(sorted(np.concatenate(found[5 * e : 5 * e + 5]).tolist()) == list(range(41)) for e in range(3))
    assert found[0] != found[5]
    order = np.random.Generator(np.random.PCG64(2)).permutation(41)
    shuffled = [order[rows].tolist() for e in range(3) for rows in epoch_rows(words[order], e, 8, 5)]
    assert shuffled == found


def test_bad_input():
    with pytest.raises(BadInput, match="optimiser"):
        descend(small(), batches(), nats, Pace("lbfgs"))
    with pytest.raises(BadInput, match="rate"):
        descend(small(), batches(), nats, Pace(rate=float("nan")))
    with pytest.raises(BadInput, match="no parameter"):
        descend(small(), batches(), nats, Pace(mask={"nobody": torch.ones(1)}))
    with pytest.raises(BadData, match="loss is"):
        descend(small(), [(torch.full((2, 2), np.inf), torch.zeros((2, 3)))], squares)
