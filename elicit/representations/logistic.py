"""Batched logistic regression over layers, folds and label sets."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from elicit.representations.errors import RepresentationError

_MEMORY = 10
"""L-BFGS history size."""
_MOST = 2000
"""Largest number of steps; 20 to 200 are usual."""
_HALVINGS = 40
_SMALL = 400
"""Largest number of weights of a two-label probe solved by Newton's method: 20 such steps are then
cheaper than hundreds of L-BFGS steps."""
_SLACK = 1e-15
"""Increase of the loss, nats, that counts as rounding."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Design:
    """Inputs of every site, normalised and rotated to their principal axes.

    One scale serves all dimensions of a site, so that a fit with an l2 penalty does not depend on
    the basis of the activations.
    """

    mean: Float[Tensor, "site d_model"]
    """Mean subtracted from the inputs."""
    scale: Float[Tensor, " site"]
    """Root mean variance that inputs are divided by; 1 where nothing varies."""
    basis: Float[Tensor, "site d_model rank"]
    """Principal axes with nonzero variance."""
    features: Float[Tensor, "site example rank"]
    """Inputs in these axes."""
    curvature: Float[Tensor, "site rank"]
    """Mean square of each feature."""

    @classmethod
    def of(cls, x: Float[Tensor, "site example d_model"]) -> "Design":
        """Design of the given inputs, in float64.

        Args:
            x: Inputs of the fit split only.
        """
        x = x.double()
        mean = x.mean(dim=1)
        centred = x - mean[:, None]
        scale = centred.square().mean(dim=(1, 2)).sqrt()
        # Variation within the rounding of the mean is constant, not a tiny signal.
        flat = scale <= 1e-12 * (mean.square().mean(dim=1).sqrt() + 1e-300)
        scale = torch.where(flat, torch.ones_like(scale), scale)
        centred = torch.where(flat[:, None, None], 0.0, centred) / scale[:, None, None]
        n, d = centred.shape[1:]
        if d <= n:
            basis = torch.linalg.eigh(centred.mT @ centred / n).eigenvectors
        else:
            # Weights lie in the span of the examples, so n axes suffice.
            result = torch.linalg.eigh(centred @ centred.mT)
            length = result.eigenvalues.clamp(min=0).sqrt()
            real = length > 1e-7 * length.amax(dim=1, keepdim=True)
            inverse = torch.where(real, 1 / torch.where(real, length, 1.0), 0.0)
            basis = centred.mT @ (result.eigenvectors * inverse[:, None])
        features = centred @ basis
        return cls(
            mean=mean,
            scale=scale,
            basis=basis,
            features=features,
            curvature=features.square().mean(dim=1),
        )


@dataclass(frozen=True, eq=False)
class Fit:
    """Weights of every site and task, for the features of a design."""

    weight: Float[Tensor, "site task rank label"]
    bias: Float[Tensor, "site task label"]

    def scores(
        self, features: Float[Tensor, "site example rank"]
    ) -> Float[Tensor, "site task example label"]:
        """Logits of examples."""
        return features[:, None] @ self.weight + self.bias[:, :, None]


def fit_logistic(
    design: Design,
    target: Int[Tensor, "task example"],
    weight: Float[Tensor, "task example"],
    l2: Float[Tensor, "site task"],
    *,
    n_labels: int,
    bias_l2: Float[Tensor, "site task"] | None = None,
    tolerance: float = 1e-8,
    start: Fit | None = None,
) -> Fit:
    """Weights that minimise mean loss + l2 / 2 * ‖weights‖², for all sites and tasks at once.

    Two labels share one weight vector, that of the second; more have one each. With n examples this
    is scikit-learn's `LogisticRegression` with C = 1 / (n * l2).

    `weight`: weight of each example in each task; 0 leaves it out. `l2`: penalty on the weights,
    above 0. `bias_l2`: penalty on the bias; None: no penalty. `tolerance`: square root of the
    remaining gain in loss, nats, at convergence. `start`: initial weights; None: 0.

    Raises:
        RepresentationError: The solve did not converge.

    Source: Newton's method for two labels and few weights, else L-BFGS (Liu & Nocedal 1989),
        preconditioned by the diagonal of Böhning's curvature bound (1992) in the principal axes;
        one line search for the whole batch.
    """
    features = functional.pad(design.features, (0, 1), value=1.0)
    n_outputs = 1 if n_labels == 2 else n_labels
    bound = 0.25 if n_labels == 2 else 0.5
    held = torch.zeros_like(l2) if bias_l2 is None else bias_l2
    penalty = torch.cat(
        [l2[:, None].expand(-1, design.curvature.shape[1], -1), held[:, None]], dim=1
    )[..., None]
    curvature = functional.pad(design.curvature, (0, 1), value=1.0)[:, :, None, None]
    problem = _Problem(
        features=features,
        target=target,
        weight=(weight / weight.sum(dim=1, keepdim=True)).mT,
        penalty=penalty,
        inverse=1 / (bound * curvature + penalty),
        shape=(len(features), features.shape[2], len(target), n_outputs),
    )
    begin = features.new_zeros(problem.shape)
    if start is not None:
        kept = start.weight if n_labels > 2 else start.weight[..., 1:]
        first = start.bias if n_labels > 2 else start.bias[..., 1:]
        begin = torch.cat([kept.transpose(1, 2), first[:, None]], dim=1)
    result = problem.solve(begin, tolerance)
    if n_labels == 2:
        result = functional.pad(result, (1, 0))
    return Fit(result[:, :-1].transpose(1, 2), result[:, -1])


@dataclass(frozen=True, eq=False, kw_only=True)
class _Problem:
    """Losses of all sites and tasks as a function of weights `[site rank task output]`."""

    features: Tensor
    target: Tensor
    weight: Tensor
    penalty: Tensor
    inverse: Tensor
    shape: tuple[int, int, int, int]

    def loss(self, w: Tensor) -> tuple[Tensor, Tensor]:
        """Loss of every site and task, and its gradient."""
        n_sites, rank, n_tasks, n_outputs = self.shape
        logits = (self.features @ w.reshape(n_sites, rank, -1)).reshape(
            n_sites, -1, n_tasks, n_outputs
        )
        label = self.target.mT[None, ..., None]
        if n_outputs == 1:
            sign = 1.0 - 2.0 * label
            losses = functional.softplus(sign * logits)[..., 0]
            slope = sign * torch.sigmoid(sign * logits)
        else:
            log_probs = torch.log_softmax(logits, dim=-1)
            label = label.expand(n_sites, -1, -1, 1)
            losses = -log_probs.gather(-1, label)[..., 0]
            slope = log_probs.exp()
            slope.scatter_add_(-1, label, -torch.ones_like(losses)[..., None])
        slope = (slope * self.weight[None, ..., None]).reshape(n_sites, len(self.weight), -1)
        gradient = (self.features.mT @ slope).reshape(self.shape) + self.penalty * w
        value = (losses * self.weight).sum(dim=1) + 0.5 * _dot(self.penalty * w, w)
        return value, gradient

    def solve(self, w: Tensor, tolerance: float) -> Tensor:
        """Minimum of every loss; converged ones wait for the others."""
        value, gradient = self.loss(w)
        settled = torch.zeros_like(value, dtype=torch.bool)
        steps: list[tuple[Tensor, Tensor, Tensor]] = []
        gamma = torch.ones_like(value)
        for _ in range(_MOST):
            bound = -self.inverse * gradient
            if self.newton:
                direction = -self.turned(w, gradient)
            else:
                direction = -self._curved(gradient, steps, gamma)
            slope = _dot(direction, gradient)
            # With rounding, the estimated curvature can point uphill; the bound never does.
            direction = torch.where(_wide(slope < 0), direction, bound)
            slope = _dot(direction, gradient)
            gain = -slope if self.newton else torch.maximum(-slope, -_dot(bound, gradient))
            settled |= gain <= tolerance**2
            if bool(settled.all()):
                return w
            length = (~settled).to(value)
            moved, after, turned, low = self._searched(w, value, direction, slope, length)
            # Where no step lowers the loss, it is minimal to float64 precision.
            settled |= ~low
            step, change = moved - w, turned - gradient
            curve = _dot(step, change)
            firm = curve > 0
            rho = torch.where(firm, 1 / torch.where(firm, curve, 1.0), 0.0)
            size = _dot(change * self.inverse, change)
            gamma = torch.where(firm, curve / torch.where(firm, size, 1.0), gamma)
            steps = [*steps[-_MEMORY + 1 :], (step, change, rho)]
            w, value, gradient = moved, after, turned
        raise RepresentationError(
            f"{int((~settled).sum())} of {settled.numel()} probes had not converged after "
            f"{_MOST} steps, so their weights are not optimal. Pass larger penalties, or drop "
            "examples that occur many times."
        )

    def _searched(
        self, w: Tensor, value: Tensor, direction: Tensor, slope: Tensor, length: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Backtracking line search: weights, loss, gradient, and which losses decreased enough."""
        low = torch.zeros_like(length, dtype=torch.bool)
        for _ in range(_HALVINGS):
            moved = w + _wide(length) * direction
            after, turned = self.loss(moved)
            low = after <= value + 1e-4 * length * slope + _SLACK
            if bool(low.all()):
                return moved, after, turned, low
            length = torch.where(low, length, length / 2)
        moved = torch.where(_wide(low), w + _wide(length) * direction, w)
        return moved, *self.loss(moved), low

    @property
    def newton(self) -> bool:
        """Whether the Hessian is small enough for Newton's method."""
        return self.shape[3] == 1 and self.shape[1] <= _SMALL

    def turned(self, w: Tensor, gradient: Tensor) -> Tensor:
        """Newton step: inverse Hessian times gradient."""
        n_sites, rank, n_tasks, _ = self.shape
        logits = (self.features @ w.reshape(n_sites, rank, -1)).reshape(n_sites, -1, n_tasks, 1)
        probs = torch.sigmoid(logits)
        spread = probs * (1 - probs)
        result = torch.empty_like(gradient)
        for task in range(n_tasks):
            scaled = self.features * spread[:, :, task] * self.weight[:, task, None]
            curvature = self.features.mT @ scaled
            curvature.diagonal(dim1=1, dim2=2).add_(self.penalty[:, :, task, 0])
            result[:, :, task] = torch.linalg.solve(curvature, gradient[:, :, task])
        return result

    def _curved(
        self, gradient: Tensor, steps: list[tuple[Tensor, Tensor, Tensor]], gamma: Tensor
    ) -> Tensor:
        """L-BFGS step: inverse curvature estimate times gradient (two-loop recursion)."""
        rest, shares = gradient, []
        for step, change, rho in reversed(steps):
            share = rho * _dot(step, rest)
            shares.append(share)
            rest = rest - _wide(share) * change
        rest = _wide(gamma) * self.inverse * rest
        for (step, change, rho), share in zip(steps, reversed(shares), strict=True):
            rest = rest + _wide(share - rho * _dot(change, rest)) * step
        return rest


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner product within each site and task."""
    return (a * b).sum(dim=(1, 3))


def _wide(x: Tensor) -> Tensor:
    """One number per site and task, broadcastable to weights."""
    return x[:, None, :, None]
