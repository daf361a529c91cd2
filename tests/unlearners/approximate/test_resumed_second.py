"""Methods U13 to U32 (second half) on a module of the user's own: interrupted anywhere, they go on to the same bits."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from expunge import catalog  # noqa: E402
from expunge.models.modules import seeded  # noqa: E402
from expunge.models.network import Network  # noqa: E402
from expunge.unlearners.approximate.contrast import Contrast  # noqa: E402
from expunge.unlearners.approximate.gap import Gap  # noqa: E402
from expunge.unlearners.approximate.matching import Matching  # noqa: E402
from expunge.unlearners.approximate.scrub import Scrub  # noqa: E402
from expunge.unlearners.approximate.unsir import Unsir  # noqa: E402
from expunge.unlearners.modules import unlearn  # noqa: E402

NAMES = "bad-teacher delete saliency sparse small-gradients confuse prune transpose distil-reset random-layers"
METHODS = [
    *[catalog.build("unlearner", name) for name in NAMES.split()],
    Scrub(epochs=4, batch=8, rewind=True),
    Unsir(noise=4, steps=5, copies=6, batch=8),
    Gap(epochs=3, batch=8, enough=0.0),
    Contrast(rounds=3, batch=4, retain_batch=8),
    Matching(epochs=3, batch=8, groups=2),
]


def world():
    """Return a network with dropout and running statistics, what it forgets, keeps, and never saw."""
    draw = np.random.Generator(np.random.PCG64(2))
    X = draw.normal(size=(60, 3)).astype(np.float32)
    y = (X[:, 0] > 0).astype(np.int64) + (X[:, 1] > 0.5)
    with seeded(1):
        middle = [torch.nn.BatchNorm1d(8), torch.nn.ReLU(), torch.nn.Dropout(0.3)]
        module = torch.nn.Sequential(torch.nn.Linear(3, 8), *middle, torch.nn.Linear(8, 8), torch.nn.Linear(8, 3))
    return module, (X[:8], y[:8]), (X[8:40], y[8:40]), (X[40:], y[40:])


class Stops:
    """Interrupts after so many steps of all phases together."""

    def __init__(self, after):
        self.left = after

    def __call__(self, done, steps):
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


@pytest.mark.parametrize("share", [0.3, 0.9])
@pytest.mark.parametrize("method", METHODS, ids=lambda m: type(m).__name__)
def test_an_interrupted_run_ends_with_the_same_bits(method, share, tmp_path):
    module, forgotten, kept, holdout = world()
    given = {"holdout": holdout, "recipe": Network(epochs=2, batch=16, optimiser="sgd", rate=0.1)}
    steps = []
    whole = unlearn(module, forgotten, kept, method, progress=lambda *at: steps.append(at), **given)
    stops = Stops(max(1, int(share * len(steps))))
    with pytest.raises(KeyboardInterrupt):
        unlearn(module, forgotten, kept, method, progress=stops, resume=tmp_path, every_s=0.0, **given)
    again = []
    after = unlearn(module, forgotten, kept, method, progress=lambda *at: again.append(at), resume=tmp_path, **given)
    assert all(torch.equal(t, whole.state_dict()[n]) for n, t in after.state_dict().items())
    if method.needs & {"train"}:
        return  # the trainings are done again
    assert len(again) < len(steps)


def test_a_rewind_whose_descent_had_ended_looks_at_all_epochs_again(tmp_path):
    """What each epoch ended with is not kept once a descent has ended: it is taken again, to the same choice."""
    module, forgotten, kept, holdout = world()
    method = Scrub(epochs=4, batch=8, rewind=True)
    whole = unlearn(module, forgotten, kept, method, holdout=holdout, resume=tmp_path)
    after = unlearn(module, forgotten, kept, method, holdout=holdout, resume=tmp_path)
    assert all(torch.equal(t, whole.state_dict()[n]) for n, t in after.state_dict().items())
