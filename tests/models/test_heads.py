"""Heads learnt by gradient steps: the minimum, constants that hold, noise that fits, saved models that do not bend."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from expunge.core.accountant import ROUNDOFF, Budget, Ledger
from expunge.core.archive import pack, unpack
from expunge.core.dataset import Dataset
from expunge.core.errors import BadInput, StoreDamaged, Unsupported
from expunge.core.seeds import Key
from expunge.models.heads import langevin as langevin_module
from expunge.models.heads import private as private_module
from expunge.models.heads.langevin import LangevinLogistic, slots_of
from expunge.models.heads.model import drawn
from expunge.models.heads.private import PrivateLogistic, size_class
from expunge.models.heads.slope import Slope, curve_of, radius, rounding_of
from expunge.models.heads.stepped import SteppedLogistic

KEY = Key(bytes(range(32)), "3")
WIDE = np.longdouble
QUICK = SteppedLogistic(penalty=0.1, n_steps=150, rewind=60)
LEARNERS = [QUICK, LangevinLogistic(epochs=20), PrivateLogistic(n_steps=20), PrivateLogistic(n_steps=20, rate=0.4)]


def problem(n, d, seed, k=2):
    draw = np.random.Generator(np.random.PCG64([n, d, seed]))
    X = draw.normal(size=(n, d))
    scores = X @ draw.normal(size=(d, k)) + draw.normal(size=(n, k)) / 2
    return Dataset.from_arrays(X, np.array(["a", "b", "c", "d"])[scores.argmax(axis=1)])


def wide_steps(slope, steps, penalty):
    """Return full steps from zero in 64-bit mantissas."""
    x, y = slope.rows.astype(WIDE), slope.answers.astype(WIDE)
    w, stride = np.zeros(slope.shape, WIDE), WIDE(slope.curve.stride)
    for _ in range(steps):
        w = w - stride * (x.T @ (1 / (1 + np.exp(-(x @ w))) - y) / WIDE(len(x)) + WIDE(penalty) * w)
    return w


@pytest.mark.parametrize("k", [2, 3])
def test_the_minimum_is_the_one_that_others_find(k):
    data = problem(300, 3, 1, k)
    model = SteppedLogistic(sigma=0.0).fit(data, KEY)
    rows = model.encoded.kept()
    for head in range(rows.answers.shape[1]):
        peer = LogisticRegression(C=1 / 3, fit_intercept=False, tol=1e-12, max_iter=1000, solver="newton-cholesky")
        peer.fit(rows.dense(), rows.answers[:, head])  # C = 1/(λn)
        assert np.abs(peer.coef_[0] - model.weights[:, head]).max() < 1e-5
    scores = rows.dense() @ model.weights
    told = scores.argmax(axis=1) if k > 2 else (scores[:, 0] > 0).astype(int)
    assert (model.logits(data).argmax(axis=1) == told).all()
    low, high = model.residual()
    assert low <= model.ledger.residual
    assert high < 1e-6


@settings(max_examples=40)
@given(st.integers(8, 120), st.integers(1, 6), st.integers(0, 10**6), st.floats(0.02, 0.5), st.integers(2, 3))
def test_the_declared_constants_hold(n, d, seed, penalty, k):
    """μ, M and L of the objective, and the norm that no minimum exceeds, at random points."""
    slope = Slope.of(QUICK.fit(problem(max(n, 8 * k), d, seed, k), KEY).encoded.kept(), penalty)
    draw, curve = np.random.default_rng(seed), slope.curve
    for size in (0.1, 3.0, 30.0):
        one, other = (size * draw.normal(size=slope.shape) for _ in range(2))
        apart, bent = one - other, slope.gradient(one) - slope.gradient(other)
        assert np.linalg.norm(bent) <= curve.smooth * np.linalg.norm(apart) * (1 + 1e-9)
        assert (bent * apart).sum() >= curve.convex * (apart**2).sum() * (1 - 1e-9)
        each = [np.linalg.norm(slope.total(one, slice(i, i + 1))) for i in range(len(slope.rows))]
        assert max(each) <= curve.steep
    least = slope.descended(np.zeros(slope.shape), 400)
    assert np.linalg.norm(least) <= radius(penalty, slope.shape[1])


@settings(max_examples=20)
@given(st.integers(8, 200), st.integers(1, 8), st.integers(0, 10**6), st.floats(0.01, 0.5), st.integers(1, 80))
def test_rounding_stays_within_its_bound(n, d, seed, penalty, steps):
    slope = Slope.of(QUICK.fit(problem(n, d, seed), KEY).encoded.kept(), penalty)
    found = slope.descended(np.zeros(slope.shape), steps)
    off = float(np.linalg.norm(found.astype(WIDE) - wide_steps(slope, steps, penalty)))
    assert off <= rounding_of(n, slope.shape, penalty)
    assert rounding_of(n, slope.shape, penalty) < 1e9 * ROUNDOFF


def test_a_fit_is_as_near_to_its_minimum_as_it_says():
    for penalty, steps in ((0.3, 5), (0.1, 15), (0.05, 40)):
        learner = SteppedLogistic(penalty=penalty, n_steps=steps, rewind=1)
        model = learner.fit(problem(60, 3, 2), KEY)
        slope = model.slope
        least = slope.descended(np.zeros(slope.shape), 3000)
        off = np.linalg.norm(model.secret["weights"] - least)
        assert 1e-9 < off <= learner.fit_distance(60, slope.shape)
        low, high = slope.off(model.secret["weights"])
        assert low <= off <= high


def test_published_noise_is_normal_fresh_and_of_the_size_that_is_said():
    data = problem(60, 20, 1)
    found = []
    for seed in range(60):
        model = QUICK.fit(data, Key(bytes([seed + 1] * 32), "n"))
        found.append((model.weights - model.secret["weights"]).ravel() / QUICK.sigma)
    noise = np.concatenate(found)
    assert abs(noise.mean()) < 4 / np.sqrt(noise.size)
    assert abs(noise.std() - 1) < 4 / np.sqrt(2 * noise.size)
    assert np.abs(np.corrcoef(found) - np.eye(60)).max() < 0.8


def test_every_step_has_noise_of_its_own_and_so_has_every_set_of_records():
    start, ids = np.zeros((5, 1)), np.arange(40)
    one = drawn((KEY, QUICK, ids), start, 1, 400)
    assert one.shape == (400, 5, 1)
    assert abs(one.mean()) < 4 / np.sqrt(one.size)
    assert abs(one.std() - 1) < 4 / np.sqrt(2 * one.size)
    assert np.unique(one).size == one.size
    for other in (
        drawn((KEY, QUICK, ids[:-1]), start, 1, 400),
        drawn((KEY, QUICK, ids), start, 2, 400),
        drawn((KEY, QUICK, ids), start + 1, 1, 400),
        drawn((KEY, replace(QUICK, sigma=2.0), ids), start, 1, 400),
        drawn((Key(bytes(range(1, 33)), "3"), QUICK, ids), start, 1, 400),
    ):
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.1
    assert (drawn((KEY, QUICK, ids), start, 1, 400) == one).all()


@pytest.mark.parametrize("learner", LEARNERS, ids=lambda each: type(each).__name__)
def test_saved_models_come_back_and_changed_ones_do_not(learner):
    data = problem(50, 3, 1)
    model = learner.fit(data, KEY)
    arrays = unpack(pack({**model.state(), **model.memory()}))
    assert learner.restore(arrays, data, KEY).ledger.digest() == model.ledger.digest()
    assert pickle.loads(pickle.dumps(model)).digest() == copy.deepcopy(model).digest() == model.digest()
    wrong_ledger = np.frombuffer(Ledger(sigma=1.0).canonical(), np.uint8)
    for name, value in (
        ("weights", arrays["weights"] + 1e-9),
        ("secret/ledger", wrong_ledger),
        ("secret/ledger", np.zeros(3, np.uint8)),
        ("secret/seal", np.zeros(32, np.uint8)),
    ):
        with pytest.raises(StoreDamaged):
            learner.restore({**arrays, name: value}, data, KEY)
    for name in ("weights", "secret/ledger", "secret/seal"):
        with pytest.raises(StoreDamaged):
            learner.restore({other: array for other, array in arrays.items() if other != name}, data, KEY)
    with pytest.raises(StoreDamaged):
        learner.restore(arrays, data, Key(bytes(range(1, 33)), "3"))


@pytest.mark.parametrize("learner", LEARNERS, ids=lambda each: type(each).__name__)
def test_another_penalty_noise_or_number_of_records_does_not_open_a_saved_ledger(learner):
    """Refused: n, λ, or the noise is another one than the proof rests on."""
    data = problem(50, 3, 1)
    model = learner.fit(data, KEY)
    arrays = {**model.state(), **model.memory()}
    with pytest.raises(StoreDamaged, match="constants differ"):
        replace(learner, penalty=learner.penalty * 2).restore(arrays, data, KEY)
    with pytest.raises(StoreDamaged, match="does not stand"):
        learner.restore(arrays, data.take(np.arange(49)), KEY)


def test_estimated_constants_certify_nothing():
    model = QUICK.fit(problem(50, 3, 1), KEY)
    guessed = model.ledger.constants[0].model_copy(update={"proof": "estimated"})
    ledger = model.ledger.model_copy(update={"constants": (guessed, *model.ledger.constants[1:])})
    with pytest.raises(Unsupported, match="is an estimate"):
        replace(model, ledger=ledger).certificate(Budget())
    with pytest.raises(Unsupported, match="no entry"):
        replace(model, ledger=Ledger(sigma=1e-3)).certificate(Budget())
    with pytest.raises(Unsupported, match="sigma=0"):
        replace(QUICK, sigma=0.0).fit(problem(50, 3, 1), KEY).certificate(Budget())
    rough = SteppedLogistic(penalty=1e-4, n_steps=20, rewind=10).fit(problem(50, 3, 1), KEY)
    with pytest.raises(Unsupported, match="noise would have to hide"):
        rough.certificate(Budget())


def test_a_public_seed_is_no_secret():
    found = QUICK.fit(problem(50, 3, 1), Key.public(1)).certificate(Budget())
    assert (found.kind, found.epsilon) == ("empirical", None)
    assert "NOT secret" in found.assumptions[0]


@settings(max_examples=25, deadline=None)
@given(st.integers(12, 80), st.integers(0, 10**6), st.integers(1, 6), st.floats(0.05, 1))
def test_noisy_steps_with_one_noise_are_never_further_apart_than_z(n, seed, m, sigma):
    """U36: with and without m records, coupled by the same noise, from the same start."""
    learner = LangevinLogistic(penalty=0.1, sigma=sigma, batches=3, epochs=15)
    data = problem(n, 2, seed)
    model = learner.fit(data, KEY)
    parting = model.parted(data.ids[:m].tolist())
    if parting.encoded is None:
        return
    zero, one_noise = np.zeros_like(model.weights), np.random.default_rng(seed).normal(size=(45, *model.weights.shape))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(langevin_module, "drawn", lambda *_: one_noise)
        whole = learner.walked(model.encoded, KEY, zero, (1, 15))
        slots = slots_of(learner.places(data.ids, KEY))
        patch.setattr(langevin_module, "slots_of", lambda _: slots)
        left = learner.walked(parting.encoded, KEY, zero, (1, 15))
    assert np.linalg.norm(whole - left) <= m * learner.apart(slots, 1)


def test_slots_and_size_classes_are_powers_of_two_and_places_do_not_depend_on_others():
    assert [size_class(n) for n in (1, 2, 3, 4, 5, 1024, 1025)] == [1, 2, 4, 4, 8, 1024, 2048]
    learner, ids = LangevinLogistic(), np.arange(1000)
    places = learner.places(ids, KEY)
    assert slots_of(places) >= np.bincount(places).max() > slots_of(places) / 2
    assert (learner.places(ids[::3], KEY) == places[::3]).all()
    assert np.bincount(places).min() > 200


@pytest.mark.parametrize("rate", [0.3, 1.0])
def test_a_private_step_differs_by_one_gradient_whichever_record_is_gone(rate):
    """U39: with one noise and the coins of the records, one step with and without a record is C/(qN) apart at most."""
    learner = PrivateLogistic(penalty=0.1, noise=5.0, rate=rate, n_steps=1)
    data = problem(60, 3, 4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(private_module, "drawn", lambda given, start, version, count: np.zeros((count, *start.shape)))
        whole = learner.fit(data, KEY)
        curve = curve_of(0.1, 1)
        for record in range(0, 60, 7):
            parting = whole.parted([record])
            if parting.encoded is None:
                continue
            left = learner.fit(data.without([record]), KEY)
            assert np.linalg.norm(whole.weights - left.weights) <= curve.steep / curve.smooth / (rate * 64) * (1 + 1e-9)


def test_sampling_takes_the_share_that_it_should():
    learner = PrivateLogistic(rate=0.25)
    words = KEY.words(range(4000))
    taken = np.array([learner._taken(words, step) for step in range(50)])
    assert abs(taken.mean() - 0.25) < 4 * np.sqrt(0.25 * 0.75 / taken.size)
    assert abs(np.corrcoef(taken[0], taken[1])[0, 1]) < 0.08
    assert taken.mean(axis=0).std() < 0.1


@pytest.mark.parametrize(
    "wrong",
    [
        SteppedLogistic(penalty=0),
        SteppedLogistic(sigma=-1.0),
        SteppedLogistic(sigma=True),
        SteppedLogistic(clip="a"),
        SteppedLogistic(n_steps=10, rewind=10),
        SteppedLogistic(n_steps=1.5),
        LangevinLogistic(sigma=0),
        LangevinLogistic(batches=0),
        LangevinLogistic(epochs=True),
        PrivateLogistic(noise=0),
        PrivateLogistic(rate=1.5),
        PrivateLogistic(n_steps=0),
    ],
    ids=repr,
)
def test_hyper_parameters_that_cannot_be(wrong):
    with pytest.raises(BadInput):
        wrong.fit(problem(20, 2, 0), KEY)
