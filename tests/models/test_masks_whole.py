"""Parameters that a mask fixes as a whole cost no gradient, keep every bit, and are asked for gradients as before."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from expunge.models.descent import Pace, descend  # noqa: E402
from expunge.models.losses import nats  # noqa: E402


@pytest.mark.parametrize("clip", [None, 1.0])
def test_a_whole_parameter_keeps_its_bits(clip):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
    batches = [(torch.randn(8, 4), torch.randint(0, 3, (8,))) for _ in range(3)]
    free = {n: torch.full_like(p, n.startswith("2"), dtype=torch.bool) for n, p in module.named_parameters()}
    asked = []

    def loss(inside, batch):
        asked.append([p.requires_grad for p in inside.parameters()])
        return nats(inside, batch)

    pace = Pace("sgd", 0.1, momentum=0.9, decay=0.1, clip=clip, mask=free)
    after = descend(module, batches, loss, pace)
    assert asked == [[clip is not None] * 2 + [True] * 2] * 3
    assert all(p.requires_grad for p in after.parameters())
    assert torch.equal(after[0].weight, module[0].weight)
    assert torch.equal(after[0].bias, module[0].bias)
    assert not torch.equal(after[2].weight, module[2].weight)


def test_nothing_free_changes_nothing():
    module = nn.Linear(4, 3)
    batches = [(torch.randn(8, 4), torch.randint(0, 3, (8,)))]
    fixed = {n: torch.zeros_like(p, dtype=torch.bool) for n, p in module.named_parameters()}
    after = descend(module, batches, nats, Pace("sgd", 0.1, decay=0.1, mask=fixed))
    assert torch.equal(after.weight, module.weight)


def test_a_clipped_step_is_torchs():
    """The norm is torch's: gradients above the limit are scaled as torch scales them, those below keep every bit."""
    for limit in (1e-3, 1e3):
        torch.manual_seed(0)
        module = nn.Linear(4, 3)
        batch = (torch.randn(8, 4), torch.randint(0, 3, (8,)))
        after = descend(module, [batch], nats, Pace("sgd", 0.1, clip=limit))
        nats(module, batch).backward()
        nn.utils.clip_grad_norm_(module.parameters(), limit)
        with torch.no_grad():
            for p in module.parameters():
                p.sub_(p.grad, alpha=0.1)
        assert torch.equal(after.weight, module.weight)
