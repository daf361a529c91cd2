"""KLoM: the published form bit for bit, the tables of its null, and what is left without its null (M20, W7)."""

import numpy as np
import pytest
from audit.battery.fixed_pools import POLICY, by_name, fixed_pools
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy

from expunge.audit.battery import klom
from expunge.audit.battery.sides import Sides


def published(p, q, form):
    """The published histogram rule, one record at a time."""
    p, q = np.clip(p, -100, 100), np.clip(q, -100, 100)
    low, high = min(p.min(), q.min()), max(p.max(), q.max())
    edges = np.linspace(low, high if low < high else low + 1, 21)
    shares = []
    for x in (p, q):
        counts = np.array([np.sum(np.digitize(x, edges) == b) for b in range(1, 21)])
        shares.append(counts / counts.sum() if counts.sum() else np.zeros(20))
    p, q = shares
    q = np.where(p > 0, np.maximum(q, 1e-5), q)
    if form == "scipy":
        return entropy(p, q)
    return np.sum(p[p > 0] * np.log(p[p > 0] / q[p > 0]))


def drawn(kind, shape, generator):
    return (
        {"normal": generator.normal, "logistic": generator.logistic}[kind](size=shape)
        if kind != "t3"
        else (generator.standard_t(3, size=shape))
    )


@pytest.mark.parametrize("n_models", [7, 20, 64, 131])
def test_the_published_form_is_met_bit_for_bit_in_both_directions(n_models):
    """M20, W7: 1 000 random pools over the four sizes; coarse and clipped margins too."""
    generator = np.random.default_rng(n_models)
    u = generator.normal(0.3, 1.5, (n_models, 250)) * generator.choice([1, 40, 1e-3], 250)
    r = generator.standard_t(3, (n_models, 250)) * generator.choice([1, 40], 250)
    u[:, :50], r[:, :50] = np.round(u[:, :50]), np.round(r[:, :50])
    u[:, 0] = r[:, 0] = 2.5
    new, old = klom.legacy(u, r, "2026"), klom.legacy(u, r, "2025")
    for i in range(250):
        assert new[i] == published(u[:, i], r[:, i], "plain")
        expected = published(r[:, i], u[:, i], "scipy")
        assert old[i] == expected or (np.isnan(old[i]) and np.isnan(expected))


NULL = [  # models, normal mean and 95th percentile, Student-t3 mean, 1σ shift (spec, M20)
    (20, 2.99, 4.83, 2.24, 3.77),
    (50, 0.83, 1.67, 0.68, 1.75),
    (100, 0.33, 0.64, 0.30, 1.19),
    (200, 0.14, 0.26, 0.14, 0.83),
    (500, 0.05, 0.10, 0.05, 0.63),
]


@pytest.mark.parametrize(("n_models", "mean", "top", "heavy", "shifted"), NULL)
def test_null_and_shift_are_those_of_the_table(n_models, mean, top, heavy, shifted):
    """M20's table, to 8 % and its second digit. At 50 models 10 000 records give 0.866, 1.71 and 1.84 (± 0.004)."""
    generator = np.random.default_rng(n_models)
    n = 2000 if n_models < 500 else 500
    a, b = generator.normal(size=(2, n_models, n))
    normal = klom.legacy(a, b)
    assert normal.mean() == pytest.approx(mean, rel=0.08, abs=0.011)
    assert np.percentile(normal, 95) == pytest.approx(top, rel=0.08, abs=0.011)
    t3 = klom.legacy(*generator.standard_t(3, (2, n_models, n)))
    assert t3.mean() == pytest.approx(heavy, rel=0.08, abs=0.011)
    logistic = klom.legacy(*generator.logistic(size=(2, n_models, n)))
    assert logistic.mean() == pytest.approx(normal.mean(), rel=0.1)
    assert klom.legacy(a + 1, b).mean() == pytest.approx(shifted, rel=0.08)


@pytest.mark.parametrize(
    ("n_models", "low", "high"),
    [(20, 0.40, 0.45), (50, 0.11, 0.13), (100, 0.05, 0.05), (200, 0.02, 0.02), (500, 0.01, 0.01)],
)
def test_null_with_five_bins(n_models, low, high):
    a, b = np.random.default_rng(n_models).normal(size=(2, n_models, 6000 if n_models < 100 else 1500))
    assert low - 0.006 <= klom.legacy(a, b, n_bins=5).mean() <= high + 0.006


def test_the_calibrated_null_is_zero():
    """K06: the calibrated value of two pools of 100 alike is 0 ± 0.03 (the published one: 0.33)."""
    generator = np.random.default_rng(0)
    excess = []
    for paired in (False, True):
        for kind in ("normal", "t3", "logistic"):
            sides = Sides.of(drawn(kind, (100, 150), generator), drawn(kind, (100, 150), generator), paired=paired)
            value, draws = klom.histogram_draws(sides, generator, 100)
            assert value.mean() == pytest.approx(klom.divergences(sides.arm, sides.reference).mean(), rel=1e-9)
            excess.append(value.mean() - draws.mean())
    assert np.abs(excess).max() < 0.06
    assert np.mean(excess) == pytest.approx(0, abs=0.03)


def test_a_true_shift_survives_the_calibration_at_every_size():
    """KL 0.5 reads 3.8 at 20 models and 0.6 at 500; less the null it lies near the truth, and normals meet it."""
    generator = np.random.default_rng(1)
    for n_models in (50, 100, 200):
        sides = Sides.of(generator.normal(1, 1, (n_models, 200)), generator.normal(size=(n_models, 200)))
        for kind, (_, draw) in klom.KINDS.items():
            value, draws = draw(sides, generator, 40)
            if kind == "gaussian_kl":
                assert value.mean() - draws.mean() == pytest.approx(0.5, abs=0.06)
            assert value.mean() > np.quantile(draws.mean(axis=1), 0.99)


def test_the_largest_margin_is_counted_and_directions_are_not_mixed():
    """W7: the published form loses whatever lies on the upper edge, here six models of ten; ours sees them."""
    r = np.linspace(0, 99.9, 1000)[:, None]
    u = np.where(np.arange(1000)[:, None] % 10 < 6, 250.0, r)  # margins are clipped to 100: the upper edge
    assert klom.divergences(u, r)[0] > 1
    assert klom.legacy(u, r)[0] < 0.01
    narrow = r / 2
    forward, backward = klom.legacy(narrow, r, "2026")[0], klom.legacy(narrow, r, "2025")[0]
    assert forward == pytest.approx(np.log(2), abs=0.03)
    assert backward > 3
    assert klom.legacy(r, narrow, "2026")[0] == pytest.approx(backward, abs=1e-3)


@given(st.integers(0, 10_000), st.integers(3, 30), st.integers(1, 6), st.booleans())
def test_distances_without_bins(seed, n_models, n, ties):
    generator = np.random.default_rng(seed)
    a, b = generator.normal(size=(n_models, n)), generator.normal(1, 2, (n_models, n))
    a, b = (np.round(a), np.round(b)) if ties else (a, b)

    def spread(x, y):
        return np.abs(x[:, None] - y[None]).mean(axis=(0, 1))

    assert klom.energy(a, b) == pytest.approx(2 * spread(a, b) - spread(a, a) - spread(b, b), abs=1e-9)
    sides = Sides.of(a, b)
    for plain, draws in ((klom.energy, klom.energy_draws), (klom.gaussian, klom.gaussian_draws)):
        assert draws(sides, generator, 2)[0] == pytest.approx(plain(a, b), rel=1e-6, abs=1e-9)
    if not ties:
        va, vb = a.var(axis=0, ddof=1), b.var(axis=0, ddof=1)
        expected = 0.5 * (np.log(vb / va) + (va + (a.mean(0) - b.mean(0)) ** 2) / vb - 1)
        wide = np.minimum(va, vb) > 0.01 * ((va + vb) / 2 + (a.mean(0) - b.mean(0)) ** 2)
        assert klom.gaussian(a, b)[wide] == pytest.approx(expected[wide])
    constant = np.ones((n_models, 1))
    assert klom.gaussian(constant, constant)[0] == pytest.approx(0, abs=1e-9)
    assert 100 < klom.gaussian(constant, 3 * constant)[0] < 1e5


@given(st.integers(0, 10_000), st.booleans())
def test_draws_are_the_measure_of_relabelled_models(seed, paired):
    generator = np.random.default_rng(seed)
    sides = Sides.of(generator.normal(size=(12, 4)), generator.normal(2, 1, (12, 4)), paired=paired)
    labels = sides.shuffled(np.random.default_rng(seed), 3)
    for (_, draw), plain in zip(klom.KINDS.values(), (klom.divergences, klom.gaussian, klom.energy), strict=True):
        _, draws = draw(sides, np.random.default_rng(seed), 3)
        for row, found in zip(labels, draws, strict=True):
            expected = plain(sides.pooled[row], sides.pooled[~row])
            assert found == pytest.approx(expected, rel=1e-5, abs=1e-9)


def test_evidence_finds_what_is_left_and_nothing_where_nothing_is():
    clean, residue = (by_name(klom.measure(fixed_pools(left=left, seed=4), POLICY)) for left in (0.0, 2.0))
    for kind in ("klom", "klom95", "gaussian_kl", "energy"):
        name = f"likeness.{kind}_forgotten_excess"
        assert clean[f"{name}@after"].low <= 0 <= clean[f"{name}@after"].high
        assert clean[f"{name}@after"].p_value > 0.01
        for found in (clean[f"{name}@before"], residue[f"{name}@after"]):
            assert found.low > 0
            assert found.p_value == pytest.approx(1 / 201)
            assert found.null.low <= 0 <= found.null.high
            assert 0 < found.power < found.value
    old = clean["likeness.klom_forgotten_legacy@after"]
    assert old.value > 0.6
    assert old.null.low < old.value < old.null.high
    assert residue["likeness.klom_kept_excess@after"].p_value > 0.01


def test_a_subject_unlike_the_kept_is_not_residue():
    """B9 (forget against retain): the mutant passes a model that forgot nothing, and fails a retrained one."""
    pools = fixed_pools(left=2.0, seed=5)

    def mutant(pool):
        """Forgotten and kept records look alike, so the forgotten ones are gone."""
        gap = pool.phi[pool.roles == 2].mean() - pool.phi[pool.roles == 1].mean()
        return abs(gap) < 0.5

    assert mutant(pools.need("before"))
    assert not mutant(pools.need("reference"))
    found = by_name(klom.measure(pools, POLICY))["likeness.klom_forgotten_excess@before"]
    assert found.low > 0
    retrained = fixed_pools(left=0.0, seed=5)
    assert by_name(klom.measure(retrained, POLICY))["likeness.klom_forgotten_excess@after"].low <= 0


def test_without_models_enough_it_says_so():
    missing = klom.measure(fixed_pools(20), POLICY)
    assert len(missing) == 30
    assert all(e.status == "not_measured" for e in missing)
    assert "64 models" in missing[0].note
    assert "20 at most" in missing[0].note
    plain = klom.measure(fixed_pools(), POLICY.model_copy(update={"legacy": False}))
    assert not [e for e in plain if "legacy" in e.name]
