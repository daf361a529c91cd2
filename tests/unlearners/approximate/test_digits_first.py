"""Methods U04 to U12, U18 and U22 on `stack` (spec 12.2): which defaults move forgotten records toward retraining."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from unlearners.approximate.test_digits_second import distance, unlearned, worlds  # noqa: E402

from expunge import catalog  # noqa: E402
from expunge.unlearners.approximate.finetune import Finetune  # noqa: E402
from expunge.unlearners.approximate.last_layers import LastLayers  # noqa: E402

CLEARLY = ("finetune", "influence", "newton")
BARELY = ("negative-plus",)
AWAY = ("ascent", "relabel", "last-layers", "fisher", "tangent", "boundary", "lipschitz")


def build(name):
    return catalog.build("unlearner", name)


def gain(method, draw):
    """Return by how much the RMSE of φ to a retrained network falls on forgotten records."""
    return distance([d.model for d in worlds(draw)[0]], draw) - distance(unlearned(method, draw), draw)


@pytest.mark.slow
@pytest.mark.parametrize("name", CLEARLY)
def test_toward_retraining_in_three_of_three_draws(name):
    assert min(gain(build(name), draw) for draw in range(3)) > 0.03


@pytest.mark.slow
@pytest.mark.parametrize("name", BARELY)
def test_barely_toward_retraining(name):
    """Published step sizes that move little here, and toward retraining."""
    found = [gain(build(name), draw) for draw in range(3)]
    assert sum(found) > 0
    assert max(found) < 0.05


@pytest.mark.slow
@pytest.mark.parametrize("name", AWAY)
def test_the_others_do_not(name):
    """Away, or within what the last bits of a training make (0.02 of 2.4)."""
    assert sum(gain(build(name), draw) for draw in range(3)) / 3 < 0.02


@pytest.mark.slow
def test_retraining_all_layers_is_the_nearest():
    """U08 over all layers by the training's recipe comes as near as two retrained networks are to each other."""
    best = gain(LastLayers.retraining(), 0)
    assert best > 1.0
    assert best > max(gain(build(name), 0) for name in CLEARLY)
    assert gain(LastLayers(decay=5e-4), 0) > 0 > gain(LastLayers(), 0)


@pytest.mark.slow
def test_finetuning_presets_move_toward_retraining():
    assert gain(Finetune.starter(), 0) > 0.03


def test_the_tag_and_the_number_go_together():
    """A method whose defaults do not move toward retraining says by how much, and its entry is tagged."""
    tags = {entry.name: entry.tags for entry in catalog.ENTRIES if entry.role == "unlearner"}
    for name in CLEARLY + BARELY:
        assert not build(name).away
        assert "not-toward-retrain" not in tags[name]
    for name in AWAY:
        assert build(name).away
        assert "not-toward-retrain" in tags[name]
