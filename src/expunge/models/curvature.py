"""Slopes and curvature of a loss around a module's weights: gradients of each sample, Fisher and Hessian products.

Everything is a mean over samples, taken with the module evaluating: it depends neither on batches nor on an order.
Small modules are treated in float64, large ones in float32 with sums of blocks in float64. A stack of replicas
(`Many`) is treated as M modules: every vector has a leading axis of replicas, and so have sums, inner products and
solutions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, Protocol

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jacrev, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from expunge.models.descent import Meter
from expunge.models.losses import cross_entropies
from expunge.models.modules import copied, seeded
from expunge.models.squares import Layer, Sizes, listening, summed, treatable
from expunge.models.stack import Many, Stacked
from expunge.models.streams import Batch, Samples

Vector = dict[str, Tensor]
"""Parameter name → tensor of its shape: a gradient, a direction, a diagonal."""
Score = Callable[[Tensor, Tensor], Tensor]
"""Outputs (..., k) and targets (...) → the loss of each sample (...)."""
WIDE = 1_000_000
"""Modules of up to this many weights are treated in float64."""
NUMBERS = 2**22
"""Numbers that the gradients of single samples may take together."""
BLOCK = 512
"""Samples that are treated together, at most."""


class Blocks(Protocol):
    """Samples that can be gone over; `expunge.models.streams.Samples` are."""

    def blocks(self, size: int = BLOCK) -> Iterator[Batch]:
        """Yield all samples once."""
        ...


@dataclass(frozen=True, eq=False)
class Chosen:
    """The samples of one batch.

    Attributes:
        batch: of one module, or of a stack.
        axis: which axis its samples are.
    """

    batch: Batch
    axis: int = 0

    def blocks(self, size: int = BLOCK) -> Iterator[Batch]:
        """Yield all samples once."""
        x, y, weight = self.batch.x, self.batch.y, self.batch.weight
        for at in range(0, x.shape[self.axis], size):
            some = (slice(None),) * self.axis + (slice(at, at + size),)
            yield Batch(x[some], y[some], None if weight is None else weight[some])


def counts(samples: Samples) -> Tensor:
    """Return how many samples there are: of shape (), or (M,) of a stack; float64."""
    if isinstance(samples, Stacked):
        return torch.tensor([len(rows) for rows in samples.rows], dtype=torch.float64)
    return torch.tensor(len(samples), dtype=torch.float64)


def squared_errors(outputs: Tensor, y: Tensor) -> Tensor:
    """Return the squared error of each sample, shape (...), from outputs and numbers of shape (..., 1)."""
    found: Tensor = ((outputs - y) ** 2).mean(-1)
    return found


@dataclass(frozen=True, eq=False)
class Terrain:
    """A module, samples and their losses: where slopes and curvature are taken.

    Attributes:
        module: a copy, in evaluation.
        samples: what the means go over.
        score: of outputs and targets.
        meter: counts samples forward, backward and in products.
    """

    module: nn.Module
    samples: Blocks
    score: Score
    meter: Meter = field(default_factory=Meter)

    @classmethod
    def of(
        cls,
        module: nn.Module,
        samples: Blocks,
        task: Literal["classes", "numbers"] = "classes",
        meter: Meter | None = None,
        device: torch.device | str = "cpu",
    ) -> Terrain:
        """Return the terrain of a module, which is copied.

        Args:
            module: one, or a stack of replicas.
            samples: of the module.
            task: what the targets are: cross-entropy or squared error.
            meter: is added to.
            device: where it is computed.
        """
        one = module.weights() if isinstance(module, Many) else dict(module.named_parameters())
        small = sum(p.numel() for p in one.values()) <= WIDE * (len(module) if isinstance(module, Many) else 1)
        kind = torch.float64 if small and torch.device(device).type == "cpu" else torch.float32
        score = cross_entropies if task == "classes" else squared_errors
        return cls(copied(module).to(device, kind).eval(), samples, score, meter or Meter())

    def over(self, names: Iterable[str]) -> Terrain:
        """Return the terrain over some parameters alone."""
        free = set(names)
        for name, parameter in self.module.named_parameters():
            parameter.requires_grad_(name in free)
        return self

    @property
    def stacked(self) -> bool:
        """Whether vectors have a leading axis of replicas."""
        return isinstance(self.module, Many)

    @property
    def weights(self) -> Vector:
        """The parameters that may move."""
        return {name: p for name, p in self.module.named_parameters() if p.requires_grad}

    @property
    def n_weights(self) -> int:
        """How many numbers a vector has."""
        return sum(p.numel() for p in self.weights.values())

    def batches(self, size: int = BLOCK) -> Iterator[Batch]:
        """Yield the samples as the module takes them."""
        return (self.placed(batch) for batch in self.samples.blocks(size))

    def placed(self, batch: Batch) -> Batch:
        """Return a batch where the module is, and in its precision."""
        like = next(self.module.parameters())
        moved = batch.to(like.device)
        y = moved.y.to(like.dtype) if moved.y.is_floating_point() else moved.y
        weight = torch.ones(self.shape(moved), dtype=like.dtype, device=like.device)
        if moved.weight is not None:
            weight = moved.weight.to(like.dtype)
        return moved._replace(x=moved.x.to(like.dtype) if moved.x.is_floating_point() else moved.x, y=y, weight=weight)

    def shape(self, batch: Batch) -> torch.Size:
        """Return (b,), or (M, b) of a stack."""
        return batch.x.shape[: 1 + self.stacked]

    def losses(self, batch: Batch) -> Tensor:
        """Return the loss of each sample, shape (b,) or (M, b), to be differentiated."""
        self.meter.forward += batch.n_samples
        return self.score(self.module(batch.x), batch.y)


def inner(u: Vector, v: Vector, stacked: bool = False) -> Tensor:
    """Return the inner product in float64: of shape (), or (M,) of vectors of replicas."""
    parts = [(u[n].double() * v[n].double()).flatten(int(stacked)).sum(-1) for n in u]
    return torch.stack(parts).sum(0)


def plus(u: Vector, v: Vector, factor: Tensor | float = 1.0) -> Vector:
    """Return u + factor · v, the factor a number or one for each replica."""
    return {n: u[n] + _beside(factor, u[n]) * v[n] for n in u}


def scaled(v: Vector, factor: Tensor | float) -> Vector:
    """Return factor · v, the factor a number or one for each replica."""
    return {n: _beside(factor, t) * t for n, t in v.items()}


def _beside(factor: Tensor | float, tensor: Tensor) -> Tensor | float:
    if not isinstance(factor, Tensor):
        return factor
    return factor.to(tensor.dtype).reshape(*factor.shape, *[1] * (tensor.dim() - factor.dim()))


class _Mean:
    """A mean over samples, summed in float64."""

    def __init__(self, terrain: Terrain) -> None:
        self.total = {n: torch.zeros_like(p, dtype=torch.float64) for n, p in terrain.weights.items()}
        self.count: Tensor | float = 0.0

    def add(self, part: Iterable[Tensor], weight: Tensor) -> None:
        for sums, value in zip(self.total.values(), part, strict=True):
            sums.add_(value.detach().double())
        self.count = self.count + weight.double().sum(-1)

    def found(self) -> Vector:
        share = 1.0 / torch.as_tensor(self.count).clamp(min=1)
        return {n: t * _beside(share, t) for n, t in self.total.items()}


def gradient(terrain: Terrain) -> Vector:
    """Return the gradient of the mean loss; float64."""
    mean, given = _Mean(terrain), list(terrain.weights.values())
    for batch in terrain.batches():
        with seeded(0):
            total = (terrain.losses(batch) * _weight(batch)).sum()
            mean.add(torch.autograd.grad(total, given, materialize_grads=True), _weight(batch))
        terrain.meter.backward += batch.n_samples
    return mean.found()


def sample_gradients(terrain: Terrain) -> Iterator[tuple[Vector, Tensor]]:
    """Yield, by block, the gradient of each sample, (b, *shape), and the samples' weights, (b,) or (b, M).

    Cost: a forward and a backward a sample; memory for the gradients of a block.
    """

    def alone(weights: Vector, x: Tensor, y: Tensor) -> Tensor:
        return terrain.score(_outputs(terrain, weights, x), y).sum()

    each = vmap(grad(alone), in_dims=(None, int(terrain.stacked), int(terrain.stacked)))
    for batch in terrain.batches(max(1, min(BLOCK, NUMBERS // terrain.n_weights))):
        with seeded(0):
            found = each(_detached(terrain), batch.x, batch.y)
        _count(terrain, batch)
        yield found, _weight(batch).movedim(-1, 0)


def sample_jacobians(terrain: Terrain, outputs: int) -> Iterator[tuple[Vector, Tensor, Batch]]:
    """Yield, by block, the gradients of each sample's outputs, (b, k, *shape), the outputs, (b, k), and the batch.

    Args:
        terrain: where; of a stack the outputs have shape (b, k, M).
        outputs: k.

    Cost: a forward and k backward a sample (the meter counts a sample once).
    """

    def alone(weights: Vector, x: Tensor) -> tuple[Tensor, Tensor]:
        found = _outputs(terrain, weights, x)
        return (found.sum(0), found.T) if terrain.stacked else (found, found)

    each = vmap(jacrev(alone, has_aux=True), in_dims=(None, int(terrain.stacked)))
    for batch in terrain.batches(max(1, min(BLOCK, NUMBERS // (terrain.n_weights * outputs)))):
        with seeded(0):
            found, answers = each(_detached(terrain), batch.x)
        _count(terrain, batch)
        yield found, answers, batch


def sample_gradients_squared(terrain: Terrain) -> Vector:
    """Return the mean over samples of the squared gradient of each: the diagonal of the empirical Fisher matrix.

    The same for any order and any batch size, unlike the squared gradient of a batch's mean (spec B11).
    """
    return sample_gradients_sized(terrain, torch.square)


def sample_gradients_sized(terrain: Terrain, of: Sizes) -> Vector:
    """Return the mean over samples of the square, or the size, of the gradient of each.

    Args:
        terrain: where.
        of: ``torch.square`` or ``torch.abs``.

    Cost: a forward and a backward a sample, layer by layer where the module is made of such (`expunge.models.squares`);
        else the gradients of single samples are kept, a block at a time.
    """
    mean, layers = _Mean(terrain), _layers(terrain)
    if layers is None:
        for found, weight in sample_gradients(terrain):
            parts = [(_beside(weight, g) * of(g)).double().sum(0) for g in found.values()]
            mean.add(parts, weight.movedim(0, -1))
        return mean.found()
    for batch in terrain.batches():
        with seeded(0):
            with listening(layers):
                outputs, weight = terrain.module(batch.x), _weight(batch)
            slope = torch.autograd.grad(terrain.score(outputs, batch.y).sum(), outputs, retain_graph=True)[0]
            share = weight.sqrt() if of is torch.square else weight
            sums = summed(layers, outputs, _beside(share, slope) * slope, of)
            mean.add([sums[name] for name in mean.total], weight)
        _count(terrain, batch)
    return mean.found()


def fisher_diagonal(terrain: Terrain, outputs: int) -> Vector:
    """Return E_x Σ_y p(y|x) (∂ℓ(x, y))² with the module's own p: the diagonal of the Fisher matrix of classes.

    Args:
        terrain: where; targets are not read.
        outputs: k.

    Cost: a forward and k backward a sample, layer by layer where the module is made of such
        (`expunge.models.squares`); else the gradients of single samples' outputs are kept, a block at a time.
    """
    mean, layers = _Mean(terrain), _layers(terrain)
    if layers is None:
        return _fisher_by_samples(terrain, outputs)
    for batch in terrain.batches():
        with seeded(0):
            with listening(layers):
                answers, weight = terrain.module(batch.x), _weight(batch)
            p = torch.softmax(answers.detach(), -1)
            for label in range(outputs):  # ∂ℓ(x, y) by the outputs is p − e_y
                slope = p - torch.nn.functional.one_hot(torch.tensor(label, device=p.device), outputs)
                sums = summed(layers, answers, (p[:, label] * weight).sqrt().unsqueeze(-1) * slope)
                mean.add([sums[name] for name in mean.total], weight if label == 0 else 0 * weight)
        _count(terrain, batch)
    return mean.found()


def _fisher_by_samples(terrain: Terrain, outputs: int) -> Vector:
    """Return the diagonal of the Fisher matrix of classes, from the gradients of each sample's outputs."""
    mean = _Mean(terrain)
    for found, answers, batch in sample_jacobians(terrain, outputs):
        p, weight = torch.softmax(answers, 1), _weight(batch).movedim(-1, 0)
        parts = []
        for jacobian in found.values():  # ∂ℓ(x, y) = Σ_c p_c ∂z_c − ∂z_y: what is asked for is the variance of ∂z_y
            shares = _beside(p, jacobian)
            jacobian.sub_((shares * jacobian).sum(1, keepdim=True))
            jacobian.mul_(_beside((p * weight.unsqueeze(1)).sqrt(), jacobian))
            parts.append(jacobian.square_().sum((0, 1)))
        mean.add(parts, weight.movedim(0, -1))
    return mean.found()


def _layers(terrain: Terrain) -> list[Layer] | None:
    """Return the layers by which sums over samples are taken; None where the module cannot be treated so."""
    first = next(iter(terrain.batches(2)), None)
    if terrain.stacked or first is None:
        return None
    with seeded(0):
        return treatable(terrain.module, first.x)


def fisher_product(terrain: Terrain, vector: Vector) -> Vector:
    """Return F·v, F = mean over samples of g gᵀ (the empirical Fisher matrix), without building it."""
    mean, given = _Mean(terrain), list(terrain.weights.values())
    for batch in terrain.batches():
        with seeded(0), sdpa_kernel(SDPBackend.MATH):
            losses = terrain.losses(batch)
            each = torch.ones_like(losses, requires_grad=True)
            slopes = torch.autograd.grad((losses * each).sum(), given, create_graph=True, materialize_grads=True)
            along = torch.autograd.grad(_along(slopes, vector), each)[0]  # g·v of each sample
            total = (losses * along.detach() * _weight(batch)).sum()
            mean.add(torch.autograd.grad(total, given, materialize_grads=True), _weight(batch))
        terrain.meter.products += batch.n_samples
    return mean.found()


def hessian_product(terrain: Terrain, vector: Vector, batches: Iterable[Batch] | None = None) -> Vector:
    """Return H·v, H = the Hessian of the mean loss, without building it.

    Args:
        terrain: where.
        vector: v.
        batches: over which the mean goes; default: all samples.
    """
    mean, given = _Mean(terrain), list(terrain.weights.values())
    for batch in terrain.batches() if batches is None else (terrain.placed(b) for b in batches):
        with seeded(0), sdpa_kernel(SDPBackend.MATH):
            total = (terrain.losses(batch) * _weight(batch)).sum()
            slopes = torch.autograd.grad(total, given, create_graph=True, materialize_grads=True)
            bent = torch.autograd.grad(_along(slopes, vector), given, materialize_grads=True, allow_unused=True)
            mean.add(bent, _weight(batch))
        terrain.meter.products += batch.n_samples
    return mean.found()


def _outputs(terrain: Terrain, weights: Vector, x: Tensor) -> Tensor:
    """Return the outputs for one sample: (k,), or (M, k) of a stack."""
    axis = int(terrain.stacked)
    found: Tensor = functional_call(terrain.module, weights, (x.unsqueeze(axis),))
    return found.squeeze(axis)


def _detached(terrain: Terrain) -> Vector:
    return {n: p.detach() for n, p in terrain.weights.items()}


def _along(slopes: Iterable[Tensor], vector: Vector) -> Tensor:
    total: Tensor = torch.stack([(s * v.to(s.dtype)).sum() for s, v in zip(slopes, vector.values(), strict=True)]).sum()
    return total


def _weight(batch: Batch) -> Tensor:
    return torch.ones(len(batch.x)) if batch.weight is None else batch.weight


def _count(terrain: Terrain, batch: Batch) -> None:
    terrain.meter.forward += batch.n_samples
    terrain.meter.backward += batch.n_samples
