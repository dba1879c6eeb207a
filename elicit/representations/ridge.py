"""Ridge regression on one-hot labels, with exact leave-one-problem-out errors."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from elicit.representations.logistic import Design, Fit


def fit_ridge(
    design: Design,
    target: Int[Tensor, "task example"],
    l2: Float[Tensor, "site task"],
    *,
    n_labels: int,
) -> Fit:
    """Weights that minimise mean squared error on one-hot labels + l2 * ‖weights‖²."""
    hot = functional.one_hot(target, n_labels).double()
    mean = hot.mean(dim=1)
    moment = design.features.mT[:, None] @ (hot - mean[:, None])[None] / target.shape[1]
    weight = moment / (design.curvature[:, None] + l2[..., None])[..., None]
    return Fit(weight, mean.expand(len(weight), -1, -1))


def left_out(
    design: Design,
    target: Int[Tensor, " example"],
    group: Int[Tensor, " example"],
    l2: Float[Tensor, " l2"],
    *,
    n_labels: int,
) -> Float[Tensor, "l2 site example label"]:
    """Exact leave-one-problem-out error of each example, from a single fit.

    `group`: problem of each example; all distinct gives leave-one-out.

    Source: Residuals of a linear smoother H with a block p left out are (I - H_pp)⁻¹ r_p; with
        blocks of one, Allen's PRESS (1974).
    """
    n = len(target)
    order = torch.argsort(group, stable=True)
    _, size = group.unique(return_counts=True)
    # Problems as a batch, padded to the largest.
    slot = torch.cat([torch.arange(int(k)) for k in size])
    problem = torch.repeat_interleave(torch.arange(len(size)), size)
    features = design.features.new_zeros(
        len(design.features), len(size), int(size.max()), design.features.shape[2]
    )
    features[:, problem, slot] = design.features[:, order]
    real = features.new_zeros(len(size), int(size.max()))
    real[problem, slot] = 1.0
    hot = functional.one_hot(target, n_labels).double()
    result = []
    for one in l2:
        penalty = one.expand(len(features), 1)
        fitted = fit_ridge(design, target[None], penalty, n_labels=n_labels)
        residual = hot - fitted.scores(design.features)[:, 0]
        scaled = features / (n * (design.curvature + one))[:, None, None]
        smoother = scaled @ features.mT + (real[:, :, None] * real[:, None]) / n
        own = features.new_zeros(*features.shape[:3], n_labels)
        own[:, problem, slot] = residual[:, order]
        eye = torch.eye(features.shape[2], dtype=torch.float64)
        error = torch.linalg.solve(eye - smoother, own)
        back = torch.empty_like(residual)
        back[:, order] = error[:, problem, slot]
        result.append(back)
    return torch.stack(result)
