"""One block's arithmetic, written out once: for trunks, lanes and gradients."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from einops import repeat
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from elicit.sites import Shape


@dataclass(frozen=True, eq=False)
class Heads:
    """Queries, keys and values of some tokens."""

    q: Float[Tensor, "*token head d_head"]
    """Queries."""
    k: Float[Tensor, "*source kv_head d_head"]
    """Keys; of other tokens than the queries where those are not run again."""
    v: Float[Tensor, "*source kv_head d_head"]
    """Values."""


@dataclass(frozen=True, eq=False)
class Layer:
    """One block, decomposed. Its methods are the block's arithmetic, in order."""

    shape: Shape
    q: nn.Module
    k: nn.Module
    v: nn.Module
    o: nn.Module
    gate: nn.Module | None
    up: nn.Module
    down: nn.Module
    act: Callable[[Tensor], Tensor]
    pre_attn: nn.Module | None
    post_attn: nn.Module | None
    pre_mlp: nn.Module | None
    post_mlp: nn.Module | None
    q_norm: nn.Module | None
    k_norm: nn.Module | None
    flat_norm: bool
    """Whether `q_norm` and `k_norm` normalise all heads of a token as one vector."""
    scaling: float
    softcap: float | None

    def query(self, normed: Float[Tensor, "*token d_model"]) -> Float[Tensor, "*token head d_head"]:
        """Queries as projected."""
        return self.q(normed).unflatten(-1, (self.shape.n_heads, self.shape.d_head))

    def key(
        self, normed: Float[Tensor, "*token d_model"]
    ) -> Float[Tensor, "*token kv_head d_head"]:
        """Keys as projected."""
        return self.k(normed).unflatten(-1, (self.shape.n_kv_heads, self.shape.d_head))

    def value(
        self, normed: Float[Tensor, "*token d_model"]
    ) -> Float[Tensor, "*token kv_head d_head"]:
        """Values as projected."""
        return self.v(normed).unflatten(-1, (self.shape.n_kv_heads, self.shape.d_head))

    def norm_attn(self, resid: Float[Tensor, "*token d_model"]) -> Float[Tensor, "*token d_model"]:
        """What attention reads of the residual stream."""
        return resid if self.pre_attn is None else self.pre_attn(resid)

    def turn(
        self,
        heads: Float[Tensor, "*token some_head d_head"],
        norm: nn.Module | None,
        cos: Float[Tensor, "*token d_rotary"] | None,
        sin: Float[Tensor, "*token d_rotary"] | None,
    ) -> Float[Tensor, "*token some_head d_head"]:
        """Queries or keys after their norm and rotation.

        Args:
            heads: As projected.
            norm: `q_norm` or `k_norm`.
            cos: Cosine of each token's angles; None rotates nothing.
            sin: Sine of the same.
        """
        if norm is not None:
            if self.flat_norm:
                heads = norm(heads.flatten(-2)).unflatten(-1, tuple(heads.shape[-2:]))
            else:
                heads = norm(heads)
        if cos is None or sin is None:
            return heads
        width = cos.shape[-1]
        turned, rest = heads[..., :width], heads[..., width:]
        half = torch.cat((-turned[..., width // 2 :], turned[..., : width // 2]), dim=-1)
        # OLMo-2 keeps its angles in float32 in every precision, and rotates in it.
        turned = (turned * cos.unsqueeze(-2) + half * sin.unsqueeze(-2)).to(heads.dtype)
        return torch.cat((turned, rest), dim=-1) if rest.shape[-1] else turned

    def attend(
        self,
        q: Float[Tensor, "lane dest head d_head"],
        k: Float[Tensor, "lane src kv_head d_head"],
        v: Float[Tensor, "lane src kv_head d_head"],
        allowed: Bool[Tensor, "row dest src"],
    ) -> Float[Tensor, "lane dest head d_head"]:
        """Values mixed by attention.

        Args:
            q: Queries, rotated.
            k: Keys, rotated.
            v: Values.
            allowed: Which positions may attend to which; one row, or one for each lane.
        """
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
        groups = q.shape[1] // k.shape[1]
        mask = allowed[:, None]
        if groups > 1:
            # The query heads of one key/value head become further queries of it, so that no key or
            # value is copied. Not by einops, which costs a short row as much as its attention.
            n, _, n_dest, width = q.shape
            q = q.reshape(n, -1, groups * n_dest, width)
            mask = mask.repeat(1, 1, groups, 1)
        # In half precision a CPU's fused kernel rounds elsewhere than the model's own attention.
        rounds_alike = q.dtype in (torch.float32, torch.float64) or q.is_cuda
        if self.softcap is None and rounds_alike:
            mixed = functional.scaled_dot_product_attention(
                q, k, v, attn_mask=mask, scale=self.scaling
            )
        else:
            mixed = self._weigh(q, k, mask) @ v
        if groups > 1:
            mixed = mixed.reshape(mixed.shape[0], -1, mixed.shape[2] // groups, mixed.shape[3])
        return mixed.transpose(1, 2)

    def _weigh(self, q: Tensor, k: Tensor, mask: Tensor) -> Tensor:
        scores = (q @ k.transpose(-1, -2)) * self.scaling
        if self.softcap is not None:
            scores = torch.tanh(scores / self.softcap) * self.softcap
        scores = scores.masked_fill(~mask, -torch.inf)
        wide = torch.float64 if q.dtype == torch.float64 else torch.float32
        return torch.softmax(scores, dim=-1, dtype=wide).to(q.dtype)

    def pattern(
        self,
        q: Float[Tensor, "lane dest head d_head"],
        k: Float[Tensor, "lane src kv_head d_head"],
        allowed: Bool[Tensor, "row dest src"],
    ) -> Float[Tensor, "lane head dest src"]:
        """Attention probabilities.

        Args:
            q: Queries, rotated.
            k: Keys, rotated.
            allowed: Which positions may attend to which; one row, or one for each lane.
        """
        groups = self.shape.n_heads // self.shape.n_kv_heads
        k = repeat(k, "lane src kv d_head -> lane (kv group) src d_head", group=groups)
        return self._weigh(q.transpose(1, 2), k, allowed[:, None])

    def write_attn(self, z: Float[Tensor, "*token head d_head"]) -> Float[Tensor, "*token d_model"]:
        """What attention adds to the residual stream."""
        out = self.o(z.flatten(-2))
        return out if self.post_attn is None else self.post_attn(out)

    def write_mlp(self, resid: Float[Tensor, "*token d_model"]) -> Float[Tensor, "*token d_model"]:
        """What the MLP adds to the residual stream.

        Args:
            resid: What it reads: the stream after attention, or before it in parallel blocks.
        """
        normed = resid if self.pre_mlp is None else self.pre_mlp(resid)
        hidden = (
            self.act(self.up(normed))
            if self.gate is None
            else self.act(self.gate(normed)) * self.up(normed)
        )
        out = self.down(hidden)
        return out if self.post_mlp is None else self.post_mlp(out)
