"""`unlearn` on a module of the user's own: what is accepted, what comes back, what is refused, and what is resumed."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import expunge  # noqa: E402
from expunge.core.conformance.watch import quiet_globals  # noqa: E402
from expunge.core.errors import BadData, BadInput, Unsupported  # noqa: E402
from expunge.models.descent import Meter  # noqa: E402
from expunge.models.modules import copied, reinitialised, seeded  # noqa: E402
from expunge.unlearners.approximate.finetune import Finetune  # noqa: E402
from expunge.unlearners.approximate.scrub import Scrub  # noqa: E402
from expunge.unlearners.modules import unlearn  # noqa: E402


def world(n=60, norm=False):
    draw = np.random.Generator(np.random.PCG64(2))
    X = draw.normal(size=(n, 3)).astype(np.float32)
    y = (X[:, 0] > 0).astype(np.int64) + (X[:, 1] > 0.5)
    with seeded(1):
        middle = [torch.nn.BatchNorm1d(8)] if norm else []
        module = torch.nn.Sequential(torch.nn.Linear(3, 8), *middle, torch.nn.ReLU(), torch.nn.Linear(8, 3))
    return module, (X[:10], y[:10]), (X[10:], y[10:])


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def as_tensors(pair):
    return tuple(torch.from_numpy(part) for part in pair)


class Lazy(torch.utils.data.Dataset):
    def __init__(self, pair):
        self.pair = pair

    def __len__(self):
        return len(self.pair[0])

    def __getitem__(self, row):
        return self.pair[0][row], self.pair[1][row]


def test_every_form_of_records_gives_the_same_module():
    module, forgotten, kept = world()
    forms = [
        lambda pair: pair,
        as_tensors,
        lambda pair: torch.utils.data.TensorDataset(*as_tensors(pair)),
        Lazy,
        lambda pair: torch.utils.data.DataLoader(Lazy(pair), batch_size=7),
    ]
    before = copied(module)
    with quiet_globals("unlearn"):
        found = [unlearn(module, form(forgotten), form(kept), Scrub(epochs=2)) for form in forms]
    assert all(same(found[0], other) for other in found[1:])
    assert same(module, before)
    assert not same(found[0], module)
    assert expunge.unlearn is unlearn


def test_flags_stay_and_statistics_are_those_of_the_kept():
    module, forgotten, kept = world(norm=True)
    module.eval()
    module[0].train()
    after = unlearn(module, forgotten, kept, Finetune(epochs=1))
    assert [p.training for p in after.modules()] == [p.training for p in module.modules()]
    with torch.no_grad():
        inner = after[0](torch.from_numpy(kept[0]))
    assert torch.allclose(after[1].running_mean, inner.mean(0), atol=1e-5)
    assert torch.allclose(after[1].running_var, inner.var(0), atol=1e-4)


def test_an_interrupted_run_goes_on_to_the_same_weights(tmp_path):
    module, forgotten, kept = world()
    method, told = Scrub(epochs=3, batch=8), []
    whole = unlearn(module, forgotten, kept, method)

    def stop(done, n):
        told.append((done, n))
        if done == 11:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        unlearn(module, forgotten, kept, method, resume=tmp_path, progress=stop)
    rest = []
    after = unlearn(module, forgotten, kept, method, resume=tmp_path, progress=lambda *at: rest.append(at))
    assert rest[0] == (12, told[0][1])
    assert same(after, whole)
    with pytest.raises(BadInput, match="another run"):
        unlearn(module, forgotten, kept, Scrub(epochs=4, batch=8), resume=tmp_path)


def test_the_meter_counts():
    module, forgotten, kept = world()
    meter = Meter()
    unlearn(module, forgotten, kept, Finetune(epochs=3), meter=meter)
    assert (meter.forward, meter.backward) == (150, 150) == (Finetune(epochs=3).passes(50, 10),) * 2


def test_numbers_are_learnt_by_squares():
    module, (X, _), (Z, _) = world()
    after = unlearn(module, (X, X[:, :3]), (Z, Z[:, :3]), Finetune(epochs=1))
    assert not same(after, module)


@pytest.mark.parametrize(
    ("forgotten", "kept", "error"),
    [
        (([[0.0] * 3], [0, 1]), None, BadData),
        ((np.zeros((0, 3)), np.zeros(0, int)), None, BadData),
        ((np.zeros((2, 4)), np.zeros(2, int)), None, BadData),
        ((np.zeros((2, 3)), np.array([0, 9])), None, BadData),
        ((np.zeros((2, 3)), np.array([0, -1])), None, BadData),
        (7, None, BadData),
    ],
)
def test_bad_records_are_refused(forgotten, kept, error):
    module, _, rest = world()
    with pytest.raises(error):
        unlearn(module, forgotten, rest, Finetune())


def test_options_and_methods_that_do_not_exist():
    module, forgotten, kept = world()
    with pytest.raises(BadInput, match="no option"):
        unlearn(module, forgotten, kept, Finetune(), epochs=3)
    with pytest.raises(BadInput, match="method"):
        unlearn(module, forgotten, kept, "scrub")


def test_what_does_not_fit_is_said_before_anything_is_done():
    """Kept and holdout records as much as forgotten ones; nothing surprising comes out of torch."""
    module, forgotten, kept = world()
    x, y = kept
    wrong = {"inputs of shape": (x[:, :2], y), "class 99": (x, np.where(np.arange(len(y)) == len(y) - 1, 99, y))}
    for message, other in wrong.items():
        for sides in ((forgotten, other), (other, kept)):
            with pytest.raises(BadData, match=message):
                unlearn(module, *sides, Finetune(epochs=1))
        with pytest.raises(BadData, match=message):
            unlearn(module, forgotten, kept, Finetune(epochs=1), holdout=other)
    with pytest.raises(BadData, match="one kind"):
        unlearn(module, forgotten, (x, y.astype(float)), Finetune(epochs=1))
    with pytest.raises(BadInput, match="torch module"):
        unlearn("net", forgotten, kept, Finetune(epochs=1))
    for method in (Finetune(epochs=-1), Finetune(batch=0)):
        with pytest.raises(BadInput, match="epochs are 0 or more"):
            unlearn(module, forgotten, kept, method)


def test_a_layer_that_cannot_be_drawn_again_is_named():
    """B3: a module is drawn again to its last parameter, or not at all."""

    class Odd(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale, self.line = torch.nn.Parameter(torch.ones(3)), torch.nn.Linear(3, 3)

    with pytest.raises(Unsupported, match="'scale'"):
        reinitialised(Odd(), 0)
    module, _, _ = world()
    fresh = reinitialised(module, 0)
    assert all(not torch.equal(a, b) for a, b in zip(fresh.parameters(), module.parameters(), strict=True))
