"""Intervals hold the truth, tests keep their level, and printed power is had: simulated audits (spec section 7).

Each check runs in a small form here and, marked slow, with 500 repeats or more at 32 models.
"""

from types import SimpleNamespace

import numpy as np
import pytest
from audit.synthetic import Scene
from scipy.stats import norm

from expunge.audit import nulls, statistics
from expunge.audit.battery.likeness import KINDS, Beside
from expunge.audit.battery.records import Signals, interval
from expunge.audit.statistics import jackknife, over_seeds
from expunge.core.policy import AuditPolicy

POLICY = AuditPolicy()
J = 32
FULL = pytest.param(500, marks=pytest.mark.slow)


def holds(found, truth):
    return found.low <= truth <= found.high


def naive(values):
    return over_seeds(values).interval()


# -- coverage ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("repeats", [1000, pytest.param(5000, marks=pytest.mark.slow)])
def test_means_over_models_cover_the_truth(repeats):
    """Accuracy excess in pairs: t over pairs, and the jackknife over eight blocks; both within 93 to 97.5 %."""
    generator = np.random.default_rng(0)
    covered = {"t": 0, "jackknife": 0}
    for _ in range(repeats):
        ability = generator.normal(0.85, 0.02, (2, J))
        gaps = np.subtract(*(generator.binomial(200, ability.clip(0, 1)) / 200))
        covered["t"] += holds(over_seeds(gaps).interval(), 0)
        covered["jackknife"] += holds(jackknife(J, 8, lambda kept, x=gaps: x[kept].mean()).interval(), 0)
    for share in covered.values():
        assert 0.93 <= share / repeats <= 0.975


@pytest.mark.parametrize("repeats", [60, FULL])
@pytest.mark.parametrize(("left", "offset"), [(0.0, 0.3), (1.0, 0.3), (1.0, 1.0), (4.0, 0.3)])
def test_the_jackknife_covers_cross_fitted_excess_and_a_naive_t_does_not(repeats, left, offset):
    """Shared shadows tie models together: t over models misses far more than 5 %.

    The jackknife is never too narrow. It is too wide where nothing is left to find (see `statistics.jackknife`), so
    that there is no upper bound here but the one that says it is useful at all.
    """
    scene = Scene.of(seed=round(10 * left), offset=offset)
    generator = np.random.default_rng(1)
    audits = [scene.draw(generator, left) for _ in range(repeats)]
    found = [jackknife(J, 8, audit.excess) for audit in audits]
    each = [audit.by_model(audit.after) - audit.by_model(audit.reference) for audit in audits]
    truth, mean_of_models = np.mean([e.value for e in found]), np.mean(each)
    slack = 2 * np.sqrt(0.95 * 0.05 / repeats)
    assert np.mean([holds(e.interval(), truth) for e in found]) >= 0.95 - slack
    assert np.mean([holds(naive(x), mean_of_models) for x in each]) < 0.93
    ratio = np.sqrt(np.mean([e.se**2 for e in found])) / np.std([e.value for e in found], ddof=1)
    assert 0.9 <= ratio <= 1.8


@pytest.mark.parametrize("repeats", [100, FULL])
@pytest.mark.parametrize(("shift", "scatter"), [(0.0, 0.0), (0.5, 0.1), (1.0, 0.2)])
def test_one_model_is_covered_by_delong_and_the_retrained_pool(repeats, shift, scatter):
    """147 positives and 749 negatives, as on `stack`; models differ in how far they move the positives."""
    generator = np.random.default_rng(2)

    def scores(centre):
        moved = centre + scatter * generator.normal()
        return generator.normal(moved, 1, 147), generator.normal(0, 1, 749)

    truth = norm.cdf(shift / np.sqrt(2 + scatter**2))
    covered = [
        holds(statistics.auc_of_one(scores(shift), [scores(0.0) for _ in range(J)]), truth) for _ in range(repeats)
    ]
    assert 0.93 - (repeats < 500) * 0.03 <= np.mean(covered) <= 0.975 + (repeats < 500) * 0.025


@pytest.mark.parametrize("repeats", [60, FULL])
@pytest.mark.parametrize(("shift", "share"), [(0.0, 0.0), (0.6, 0.5), (1.0, 0.3), (2.0, 0.1)])
def test_the_share_of_rejected_records_is_covered(repeats, shift, share):
    """What new models would reject on average lies in the interval; the bare jackknife misses zero shares."""
    generator = np.random.default_rng(3)
    off = np.where(np.arange(200) < share * 200, shift * np.sqrt(2), 0.0)
    found, bare = [], []
    for _ in range(repeats):
        common, own = generator.normal(size=(J, 200)), generator.normal(size=(2, J, 200))
        whole = 0.2 * generator.normal(size=(2, J, 1))
        values = np.concatenate([off + common + own[0] + whole[0], common + own[1] + whole[1]])
        signals = Signals(values, np.ones(values.shape, bool), J, paired=True)
        found.append(interval(signals, signals.compared(generator, 99), POLICY))
        bare.append(jackknife(J, 8, lambda kept, s=signals: s.keeping(kept).share(), found[-1].value).interval())
    truth = np.mean([f.value for f in found])
    assert np.mean([holds(f, truth) for f in found]) >= 0.93 - (repeats < 500) * 0.03
    if shift == 0:
        assert np.mean([f.value > 0 for f in found]) <= 0.06 + (repeats < 500) * 0.03
        assert np.mean([holds(f, truth) for f in bare]) < 0.93


@pytest.mark.parametrize("repeats", [100, FULL])
@pytest.mark.parametrize("left", [0.0, 1.0])
def test_likeness_to_retraining_is_covered(repeats, left):
    """The excess of φ's distance over retrain against retrain."""
    scene = Scene.of(200, offset=0.1)
    generator = np.random.default_rng(4)
    found = []
    for _ in range(repeats):
        audit = scene.draw(generator, left)
        ours, theirs = (SimpleNamespace(phi=phi) for phi in (audit.after, audit.reference))
        without = audit.was | audit.never
        gaps = [KINDS[1].gaps(pool, theirs, audit.was, without) for pool in (ours, theirs)]
        found.append(Beside(KINDS[1], *gaps, partners=True).estimates(8)[1])
    truth = np.mean([e.value for e in found])
    assert 0.93 - (repeats < 500) * 0.05 <= np.mean([holds(e.interval(), truth) for e in found]) <= 0.985


# -- type I error -----------------------------------------------------------------------------------------------------


def means(generator):
    """The p-values of the three questions that are means over pairs, where `after` is a retrained model."""
    ability = generator.normal(0.9, 0.02, (2, 2, J)).clip(0, 1)
    kept, holdout = np.subtract(*(generator.binomial(300, ability) / 300))
    recovery = np.subtract(*generator.beta(2, 5, (2, J)))
    return {
        "utility_kept": over_seeds(kept).p_value("lower"),
        "utility_holdout": over_seeds(holdout).p_value("lower"),
        "residue": over_seeds(recovery).p_value("higher"),
    }


def pools(scene, generator):
    """The p-values of the two questions about signals, where `after` is a retrained model."""
    audit = scene.draw(generator)
    forgotten = np.concatenate([audit.after[:, :60], audit.reference[:, :60]])
    signals = Signals(forgotten, np.ones(forgotten.shape, bool), J, paired=True)
    return {
        "membership": jackknife(J, 8, audit.excess).p_value("higher"),
        "records": signals.compared(generator, 99).p_value("higher"),
    }


def test_questions_about_means_keep_their_level():
    """Type I error of each is 0.06 at most; 8,000 repeats, so that chance alone does not decide."""
    generator = np.random.default_rng(5)
    p = [means(generator) for _ in range(8000)]
    for name in p[0]:
        assert 0.04 <= np.mean([one[name] <= 0.05 for one in p]) <= 0.06, name


@pytest.mark.parametrize("repeats", [80, pytest.param(1000, marks=pytest.mark.slow)])
def test_questions_about_signals_and_all_five_together_keep_their_level(repeats):
    """Type I error of each, and after Holm of any of the five, is 0.06 at most."""
    scene, generator = Scene.of(), np.random.default_rng(5)
    p = [pools(scene, generator) | means(generator) for _ in range(repeats)]
    slack = (repeats < 500) * 0.05
    for name in ("membership", "records"):
        assert np.mean([one[name] <= 0.05 for one in p]) <= 0.06 + slack, name
    assert np.mean([min(statistics.holm(list(one.values()))) <= 0.05 for one in p]) <= 0.06 + slack


@pytest.mark.parametrize("repeats", [20, FULL])
def test_swapped_labels_keep_the_level_of_cross_fitted_excess(repeats):
    scene, generator = Scene.of(120), np.random.default_rng(6)
    p = [swapped(scene.draw(generator), generator).p_value("higher") for _ in range(repeats)]
    assert np.mean(np.array(p) <= 0.05) <= 0.06 + (repeats < 500) * 0.15
    assert np.mean(p) == pytest.approx(0.5, abs=4 * 0.29 / np.sqrt(repeats))


def swapped(audit, generator, n_shuffles=99):
    """The excess beside its null by labels swapped within pairs of models."""
    both = np.concatenate([audit.after, audit.reference])
    return nulls.shuffled(
        J, lambda a, b: audit.auc(both[a]) - audit.auc(both[b]), generator, paired=True, n_shuffles=n_shuffles
    )


def test_four_looks_keep_the_level_and_uncorrected_looks_do_not():
    """Models are added at 16, 32, 64 and 128; the audit stops at the first significant look."""
    generator, looks = np.random.default_rng(7), (16, 32, 64, 128)
    x = generator.normal(size=(3000, 128))
    p = np.array([[over_seeds(row[:n]).p_value("higher") for n in looks] for row in x])
    assert 0.02 <= np.mean(p.min(axis=1) <= statistics.alpha_at_looks(0.05, looks)) <= 0.06
    assert np.mean(p.min(axis=1) <= 0.05) > 0.1


# -- power ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("estimate", [over_seeds, lambda x: jackknife(J, 8, lambda kept: x[kept].mean())])
def test_the_printed_effect_is_found_with_eighty_percent(estimate):
    """The mean of what is printed, put in as the truth, is found in 75 to 85 % of audits."""
    generator = np.random.default_rng(8)
    x = generator.normal(0, 0.04, (1500, J))
    effect = np.mean([estimate(row).detectable() for row in x])
    found = np.mean([estimate(row + effect).p_value("higher") <= 0.05 for row in x])
    assert 0.75 <= found <= 0.85


@pytest.mark.slow
def test_the_printed_effect_of_cross_fitted_excess_is_found_with_swapped_labels():
    """At the excess that swapped labels promise to find, 75 to 85 % are found; the jackknife's promise is cautious."""
    scene, generator = Scene.of(), np.random.default_rng(9)
    rows = []
    for left in (0.2, 0.3, 0.4, 0.5):
        audits = [scene.draw(generator, left) for _ in range(150)]
        compared = [swapped(audit, generator) for audit in audits]
        printed = np.mean([c.draws.std(ddof=1) for c in compared]) * (norm.ppf(0.95) + norm.ppf(0.8))
        excess = np.mean([c.value for c in compared])
        rows.append((excess / printed, np.mean([c.p_value("higher") <= 0.05 for c in compared])))
    ratios, power = np.array(rows).T
    assert ratios[0] < 1 < ratios[-1]
    assert 0.73 <= np.interp(1.0, ratios, power) <= 0.87
