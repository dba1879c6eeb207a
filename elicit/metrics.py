"""Tensors in, numbers out: what is read off logits. All in nats."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def log_probs(logits: Float[Tensor, "*batch d_vocab"]) -> Float[Tensor, "*batch d_vocab"]:
    """Log-probabilities, computed in at least float32.

    Args:
        logits: Raw scores of the model.
    """
    wide = logits.dtype if logits.dtype == torch.float64 else torch.float32
    return torch.log_softmax(logits, dim=-1, dtype=wide)


def logit_diff(
    logits: Float[Tensor, "*batch d_vocab"],
    answer: Int[Tensor, "*batch"],
    wrong: Int[Tensor, "*batch"],
) -> Float[Tensor, "*batch"]:
    """Logit of the answer minus logit of the wrong token.

    Args:
        logits: Raw scores of the model.
        answer: Id of the right token.
        wrong: Id of the token it is held against.
    """
    picked = logits.gather(-1, torch.stack([answer, wrong], dim=-1))
    return picked[..., 0] - picked[..., 1]


def kl(
    p: Float[Tensor, "*batch d_vocab"], q: Float[Tensor, "*batch d_vocab"]
) -> Float[Tensor, "*batch"]:
    """KL(p‖q) of two distributions given by their log-probabilities, nats.

    Exact where p gives a token no mass: such a token counts 0 whatever q says.

    Args:
        p: Log-probabilities of the first distribution.
        q: Log-probabilities of the second.
    """
    return torch.where(p == -torch.inf, 0.0, p.exp() * (p - q)).sum(-1)


def jsd(
    p: Float[Tensor, "*batch d_vocab"], q: Float[Tensor, "*batch d_vocab"]
) -> Float[Tensor, "*batch"]:
    """Jensen–Shannon divergence of two distributions given by their log-probabilities, nats ≤ ln 2.

    Args:
        p: Log-probabilities of the first distribution.
        q: Log-probabilities of the second.
    """
    middle = torch.logaddexp(p, q) - torch.log(torch.tensor(2.0, dtype=p.dtype, device=p.device))
    return 0.5 * (kl(p, middle) + kl(q, middle))


def entropy(p: Float[Tensor, "*batch d_vocab"]) -> Float[Tensor, "*batch"]:
    """Entropy of a distribution given by its log-probabilities, nats.

    Args:
        p: Log-probabilities.
    """
    return -torch.where(p == -torch.inf, 0.0, p.exp() * p).sum(-1)


def correct(
    scores: Float[Tensor, "*part example label"], target: Int[Tensor, "*#part example"]
) -> Float[Tensor, "*part example"]:
    """1 where the highest score is the right label's, else 0.

    Args:
        scores: Score of every label.
        target: The right one; parts that it leaves out share it.
    """
    return (scores.argmax(dim=-1) == target).double()
