"""Bounds that prove a prediction not settled yet, from a few logits instead of all.

A few ids bound the probability that a layer can give to any of them: q(a) ≤ exp(z_a) / Σ exp(z_b)
over any set of ids b. Where the final prediction gives an id more than that bound, the two must
differ there, and divergences of a coarser partition are never larger than the divergence itself. If
this lower bound exceeds the threshold, the full vocabulary need not be read.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from elicit.capture import Unembed
from elicit.texts import Final

N_SAMPLED = 1024
"""Ids spread over the vocabulary: they bound predictions that are spread out themselves."""
N_FREQUENT = 128
"""Ids that are often predicted in a block."""
N_TOP = 8
"""Most probable ids of each final prediction that are compared with the bound."""
_SLACK = 1e-3
"""Allowance for rounding in the bounds, relative; the proven divergence allows as much again."""


class EarlyBounds:
    """Finds tokens that are certainly not settled at a layer."""

    def __init__(self, unembed: Unembed, *, nats: float) -> None:
        """Choose the ids that bound every token.

        `nats`: divergence up to which a token is settled.
        """
        self.unembed, self.nats = unembed, nats
        stride = max(1, unembed.d_vocab // N_SAMPLED)
        self._sampled = torch.arange(0, unembed.d_vocab, stride, device=unembed.weight.device)
        self._rivals = self._sampled
        self._weight = unembed.weight[self._rivals]
        self._place = torch.empty(0)

    def begin(self, final: Final) -> None:
        """Take the final predictions of a block."""
        unembed, device = self.unembed, final.probs.device
        often = final.top.unique(return_counts=True)
        frequent = often[0][often[1].argsort(descending=True, stable=True)[:N_FREQUENT]]
        self._rivals = torch.cat([self._sampled, frequent]).unique()
        self._weight = unembed.weight[self._rivals]
        self._shared = final.probs.index_select(0, self._rivals)
        self._place = torch.full((unembed.d_vocab,), -1, device=device)
        self._place[self._rivals] = torch.arange(len(self._rivals), device=device)
        k = min(N_TOP, unembed.d_vocab)
        self._final = final
        self._top = _top_ids(final.probs, k)

    def not_settled(
        self,
        states: Float[Tensor, "some d_model"],
        tokens: Int[Tensor, " some"],
        *,
        guess: Int[Tensor, " some"],
        capped: bool,
    ) -> Bool[Tensor, " some"]:
        """Tokens whose divergence certainly exceeds the threshold.

        `guess`: an id that the layer may well predict for each, such as the id just read.
        `capped`: whether the model's softcap is applied.
        """
        ids = torch.cat([self._top[tokens], guess[:, None]], dim=1)
        # An id counts once: not again where it bounds every token, or where it is a top.
        fresh = self._place[ids] < 0
        fresh[:, -1] &= (ids[:, :-1] != ids[:, -1:]).all(1)
        z_ids = torch.einsum("skd,sd->sk", self.unembed.weight[ids], states).float()
        z_all = (states @ self._weight.T).float()
        if self.unembed.bias is not None:
            z_ids = z_ids + self.unembed.bias[ids]
            z_all = z_all + self.unembed.bias[self._rivals]
        if capped:
            z_ids, z_all = self.unembed.capped(z_ids), self.unembed.capped(z_all)
        z_ids = z_ids.masked_fill(~fresh, -torch.inf)
        p_ids = self._final.probs[ids, tokens[:, None]].float() * fresh
        z = torch.cat([z_ids, z_all], dim=1).double()
        p = torch.cat([p_ids, self._shared[:, tokens].T.float()], dim=1).double()
        bound = torch.softmax(z, dim=1) * (1 + _SLACK)
        more = p > bound
        p, bound = p * more, bound * more
        rest_p, rest_q = 1 - p.sum(1), 1 - bound.sum(1)
        proven = _part(p, bound).sum(1) + _part(rest_p.clamp(min=0), rest_q.clamp(0, 1))
        # NaN proves nothing.
        return proven > self.nats + _SLACK


def _part(p: Tensor, q: Tensor) -> Tensor:
    """What one part of a partition adds to the Jensen-Shannon divergence, nats."""
    mean = ((p + q) / 2).clamp(min=1e-300).log()
    return (p * (p.clamp(min=1e-300).log() - mean) + q * (q.clamp(min=1e-300).log() - mean)) / 2


def _top_ids(probs: Float[Tensor, "d_vocab token"], k: int) -> Int[Tensor, "token k"]:
    """Most probable ids of each token, found among the largest of each slice of the vocabulary."""
    best, ids = None, None
    for start in range(0, len(probs), 4096):
        part = probs[start : start + 4096].T.contiguous()
        value, place = part.topk(min(k, part.shape[1]), dim=1)
        place = place + start
        if best is not None and ids is not None:
            value, place = torch.cat([best, value], dim=1), torch.cat([ids, place], dim=1)
            value, chosen = value.topk(min(k, value.shape[1]), dim=1)
            place = place.gather(1, chosen)
        best, ids = value, place
    assert ids is not None
    return ids
