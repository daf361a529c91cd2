"""W4: ε is the larger of its two branches; a public toolkit takes the smaller, and calls a leak harmless."""

import numpy as np
import pytest

from expunge.audit.battery.quality import epsilons

DELTA = 1e-5


def branches(fpr, fnr):
    return np.log(1 - DELTA - fpr) - np.log(fnr), np.log(1 - DELTA - fnr) - np.log(fpr)


@pytest.mark.parametrize("flip", [1, -1])
def test_w4_epsilon_is_the_larger_branch(flip):
    """One model in 64 retrained ones says what half of the unlearned ones say: ε is ln 32, not 0.68."""
    after = flip * np.repeat([1.0, 0.0], [32, 32])[:, None]
    reference = flip * np.repeat([1.0, 0.0], [1, 63])[:, None]
    small, large = sorted(branches(1 / 64, 0.5))
    assert small == pytest.approx(0.677, abs=1e-3)
    assert epsilons(after, reference)[0] == pytest.approx(large, abs=1e-6)
    assert epsilons(after, reference)[0] > 5 * small
