"""Every defect of public code that we know of is rejected by the check that the spec names; ours passes it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from conformance import mutants  # noqa: E402
from unlearners.approximate.by_hand import FORGOTTEN, X, forward, kl, network, scene, softmax, weights  # noqa: E402
from unlearners.approximate.worlds import Spied, deployment  # noqa: E402

from expunge.core.conformance import ConformanceFailure, unlearner_checks  # noqa: E402
from expunge.core.deployment import Deployment  # noqa: E402
from expunge.core.errors import BadInput, Unsupported  # noqa: E402
from expunge.core.request import ForgetRequest  # noqa: E402
from expunge.models.modules import copied, reinitialised, seeded  # noqa: E402
from expunge.models.streams import Records  # noqa: E402
from expunge.unlearners.approximate.bad_teacher import BadTeacher  # noqa: E402
from expunge.unlearners.approximate.confuse import balanced  # noqa: E402
from expunge.unlearners.approximate.dampening import Dampening  # noqa: E402
from expunge.unlearners.approximate.matching import Matching  # noqa: E402
from expunge.unlearners.approximate.saliency import Saliency  # noqa: E402
from expunge.unlearners.approximate.scrub import Scrub  # noqa: E402
from expunge.unlearners.approximate.small_gradients import SmallGradients  # noqa: E402
from expunge.unlearners.approximate.transpose import Transpose  # noqa: E402
from expunge.unlearners.exact.retrain import Retrain  # noqa: E402

CHECKS = dict(unlearner_checks())


def world(_seed) -> Deployment:
    return deployment()


def rejected(check, mutant, *errors):
    """Fail unless a check refuses a mutant."""
    with pytest.raises(errors or AssertionError):
        check(mutant)


def leaves_its_teacher(method):
    """U13: twenty ascents, helped by a little decay, take the student away from its teacher: KL > 1e-3."""
    after = method(epochs=20, msteps=20, alpha=0.0, gamma=0.0, decay=1e-3, optimiser="sgd", rate=0.5).change(scene())
    before, now = (softmax(forward(w, X[FORGOTTEN])[0]) for w in (weights(network()), weights(after)))
    assert kl(before, now) > 1e-3


def test_b1_a_teacher_that_is_its_student():
    leaves_its_teacher(Scrub)
    rejected(leaves_its_teacher, mutants.AliasedTeacher)


def test_b1_a_copy_that_shares_storage_is_refused():
    class Sharing(torch.nn.Linear):
        def __deepcopy__(self, memo):
            twin = Sharing(2, 3)
            twin.weight, twin.bias = self.weight, self.bias
            return twin

    with pytest.raises(BadInput, match="shares"):
        copied(torch.nn.Sequential(Sharing(2, 3)))


def moves(method):
    CHECKS["does_something"](method, world)


def test_b2_an_optimiser_that_holds_the_teacher():
    moves(Scrub(epochs=2))
    rejected(moves, mutants.TeachersOptimiser(epochs=2), ConformanceFailure)


def every_tensor_differs(reset):
    with seeded(1):
        body = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.ReLU())
        module = torch.nn.Sequential(body, torch.nn.Linear(4, 3))
    assert all((a != b).all() for a, b in zip(module.parameters(), reset(module, 2).parameters(), strict=True))


def test_b3_a_reset_of_the_last_layer_only():
    every_tensor_differs(reinitialised)
    rejected(every_tensor_differs, mutants.shallow_reset)


def test_b3_a_reset_that_cannot_reach_a_parameter_is_refused():
    bare = torch.nn.Sequential(torch.nn.Linear(2, 3))
    bare.register_parameter("scale", torch.nn.Parameter(torch.ones(1)))
    with pytest.raises(Unsupported, match="scale"):
        reinitialised(bare, 0)


def test_b3_a_retrained_network_equals_a_fresh_fit():
    CHECKS["equals_retraining"](Retrain(), world)
    rejected(lambda u: CHECKS["equals_retraining"](u, world), mutants.ShallowRetrain(), ConformanceFailure)


def reads_what_it_declares(method):
    """B4: the spy of data access: all forgotten records are read by a method that says it reads them."""
    given = scene(train=lambda net, samples, seed: net)
    spy = Spied(given.forgotten)
    method.change(replace(given, forgotten=spy.watched()))
    assert spy.read == set(range(len(given.forgotten)))


def raises_what_it_lacks(method):
    """B4: what cannot be done as named is refused, not replaced by something else."""
    with pytest.raises(Unsupported):
        method.change(scene())


def test_b4_nothing_done_nothing_read_something_else_done():
    reads_what_it_declares(Scrub(epochs=1))
    rejected(reads_what_it_declares, mutants.NeverReads())
    rejected(reads_what_it_declares, mutants.NoOp())
    rejected(moves, mutants.NoOp(), ConformanceFailure)
    raises_what_it_lacks(Matching())
    rejected(raises_what_it_lacks, mutants.FallsBack(), pytest.fail.Exception)


def holds_the_rest(method):
    """B10: two epochs of decay and momentum move no more than the chosen share, and the rest stays bit for bit."""
    module = network()
    after = method(share=0.5, epochs=2, rate=0.1, momentum=0.9, decay=0.1).change(scene(module))
    moved = [a != b for a, b in zip(weights(after), weights(module), strict=True)]
    assert sum(int(m.sum()) for m in moved) <= sum(m.size for m in moved) // 2


def remembers_kept_records_alone(method):
    """B10: running statistics after are those of the kept records under the new weights."""
    with seeded(5):
        module = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 3)).double()
    given = scene(module.eval())
    after = method(epochs=2).change(given)
    seen = after[0](given.kept.fetch(np.arange(4))[0]).detach()
    assert torch.allclose(after[1].running_mean, seen.mean(0), atol=1e-6)


def test_b10_masks_that_leak():
    holds_the_rest(Saliency)
    rejected(holds_the_rest, mutants.MaskedGradients)
    rejected(holds_the_rest, mutants.DriftingWeights)
    remembers_kept_records_alone(Saliency)
    rejected(remembers_kept_records_alone, mutants.LiveStatistics)


def knows_no_order(method):
    """B11: the same weights for any order of the records."""
    given, orders = scene(), np.array([[0, 1, 2, 3], [0, 2, 1, 3], [0, 3, 2, 1]])
    found = [weights(method.change(replace(given, kept=given.kept.take(order)))) for order in orders]
    for other in found[1:]:
        assert all(np.abs(a - b).max() <= 1e-6 * np.abs(a).max() for a, b in zip(found[0], other, strict=True))


def test_b11_squares_of_batch_means():
    knows_no_order(Dampening(alpha=1.2))
    rejected(knows_no_order, mutants.squared_batch_means())


def image_scene():
    draw = torch.Generator().manual_seed(1)
    with seeded(4):
        module = torch.nn.Sequential(torch.nn.Conv2d(1, 3, 3), torch.nn.Flatten(), torch.nn.Linear(12, 3)).eval()
    sides = {
        part: Records.of(torch.randn((n, 1, 4, 4), generator=draw), torch.arange(n) % 3, np.arange(n).astype(np.uint64))
        for part, n in (("forgotten", 3), ("kept", 6))
    }
    return replace(scene(module), **sides)


def transposes(method):
    """B13: the golden of kernel transposition: with no training to speak of, height and width are swapped."""
    given = image_scene()
    after = method(epochs=1, rate=1e-9).change(given)
    assert torch.allclose(after[0].weight, given.module[0].weight.transpose(2, 3), atol=1e-6)


def draws_anew(method):
    """B13: the golden of small gradients: three tenths of each convolution are new, and nothing else is."""
    given = image_scene()
    after = method(epochs=1, rate=1e-9).change(given)
    changed = (after[0].weight - given.module[0].weight).abs() > 1e-6
    assert int(changed.sum()) == int(0.3 * changed.numel())
    assert torch.allclose(after[2].weight, given.module[2].weight, atol=1e-6)


def test_b13_another_algorithm_under_the_name():
    transposes(Transpose)
    rejected(transposes, mutants.DampeningByAnotherName)
    draws_anew(SmallGradients)
    rejected(draws_anew, mutants.DampeningByAnotherName)


def weighs_classes(loss):
    """W12: with all weight on class 0, records of class 1 do not count."""
    logits, y = torch.tensor([[2.0, 0.0], [5.0, 0.0], [5.0, 0.0]]), torch.tensor([0, 1, 1])
    found = loss(logits, y, torch.tensor([1.0, 0.0]))
    assert abs(float(found) - np.log1p(np.exp(-2.0))) <= 1e-6


def test_w12_weights_outside_the_mean():
    weighs_classes(balanced)
    rejected(weighs_classes, mutants.weighted_after_the_mean)


def teaches_any(method):
    """W13: whatever the architecture."""
    method().change(scene())
    given = image_scene()
    method().change(replace(given, fresh=lambda purpose: reinitialised(given.module, 9)))


def test_w13_a_teacher_of_one_architecture():
    teaches_any(BadTeacher)
    rejected(teaches_any, mutants.OneArchitecture, RuntimeError)


def test_an_unmutated_request_of_nothing_changes_nothing():
    """The other side of B4's no-op: where there is nothing to do, nothing is done."""
    after = Scrub().unlearn(deployment(), ForgetRequest()).after
    assert after.model.digest() == deployment().model.digest()
