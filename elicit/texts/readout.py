"""Statistics of a block of predictions, with at most one block of logits in memory.

A block is `[d_vocab token]`, the vocabulary first: the matrix product is then fastest, and
sums over the vocabulary are sums of whole rows. Everything elementwise goes through it in tiles
that stay in a core's cache. Sums are float32 within a tile and float64 across tiles.
"""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.capture import Unembed
from elicit.texts._checks import Checks
from elicit.texts._fused import Fused
from elicit.texts._sums import LayerSums
from elicit.texts.predictions import FLOOR, LN2, Final, Reading, tile_of

_TINY = torch.finfo(torch.float32).tiny


class Readout:
    """A buffer for one block of logits, and the statistics computed in it."""

    def __init__(self, unembed: Unembed, n_tokens: int) -> None:
        """Allocate the buffer."""
        weight = unembed.weight
        self.unembed = unembed
        self.n_tokens = n_tokens
        self.wide = torch.float64 if weight.dtype == torch.float64 else torch.float32
        self.flat = torch.empty(unembed.d_vocab * n_tokens, dtype=self.wide, device=weight.device)
        tile = max(tile_of(weight.device), n_tokens)
        self._s = torch.empty(tile, dtype=self.wide, device=weight.device)
        self._t = torch.empty(tile, dtype=self.wide, device=weight.device)
        self.checks = Checks()
        self.fused = Fused()

    def project(
        self,
        states: Float[Tensor, "token d_model"],
        *,
        capped: bool = True,
        unembed: Unembed | None = None,
    ) -> Float[Tensor, "d_vocab token"]:
        """Logits of some states, in this buffer: valid until the next call.

        Args:
            states: What the unembedding reads, normed or not.
            capped: Whether the model's softcap is applied.
            unembed: What turns states into logits, where it is not the buffer's own.
        """
        unembed = unembed or self.unembed
        weight, n = unembed.weight, len(states)
        z = self.flat[: self.unembed.d_vocab * n].view(self.unembed.d_vocab, n)
        if weight.dtype == self.wide:
            torch.mm(weight, states.T, out=z)
        else:
            # Half precision rounds logits as the model's unembedding does, then goes wide.
            step = max(1, 2**24 // max(1, n))
            for start in range(0, len(weight), step):
                z[start : start + step] = weight[start : start + step] @ states.T
        bias = self.checks.bias_of(unembed)
        if bias is not None:
            z += bias[:, None]
        if capped and unembed.softcap is not None:
            for rows in self._tiles(z):
                rows.div_(unembed.softcap).tanh_().mul_(unembed.softcap)
        return z

    def final(
        self,
        states: Float[Tensor, "token d_model"],
        out: Float[Tensor, "d_vocab token"],
        *,
        capped: bool = True,
        unembed: Unembed | None = None,
        z: Float[Tensor, "d_vocab token"] | None = None,
    ) -> Final:
        """A model's final predictions.

        Args:
            states: What its unembedding reads.
            out: Takes the probabilities.
            capped: Whether the model's softcap is applied.
            unembed: What turns states into logits, where it is not the buffer's own.
            z: What `project` returned for these states, if still valid; overwritten.

        Raises:
            TextError: Some prediction is not a distribution.
        """
        z = self.project(states, capped=capped, unembed=unembed) if z is None else z
        largest = z.amax(0)
        top = self._first(z, largest)
        total, cross = self._exponentiate(z, largest)
        if self.checks.fails(cross.isfinite()):
            return self.final(states, out, capped=capped, unembed=unembed)
        torch.mul(z, total.reciprocal().to(self.wide), out=out)
        return Final(
            probs=out,
            entropy=total.log() - cross / total,
            top=top,
            top_prob=total.reciprocal().to(self.wide),
            log_norm=(total.log() + largest).to(self.wide),
        )

    def read(
        self, states: Float[Tensor, "token d_model"], final: Final, *, capped: bool = True
    ) -> Reading:
        """A layer's predictions, compared with the final ones.

        Args:
            states: Input of the unembedding at this layer.
            final: The same tokens' final predictions.
            capped: Whether the model's softcap is applied.

        Raises:
            TextError: Some prediction is not a distribution.
        """
        return self.measure(self.project(states, capped=capped), states, final, capped=capped)

    def measure(
        self,
        z: Float[Tensor, "d_vocab token"],
        states: Float[Tensor, "token d_model"],
        final: Final,
        *,
        capped: bool = True,
    ) -> Reading:
        """The same from logits that are in this buffer already; they are overwritten.

        Args:
            z: What `project` returned for these states.
            states: Input of the unembedding at this layer.
            final: The same tokens' final predictions.
            capped: Whether the model's softcap is applied.

        Raises:
            TextError: Some prediction is not a distribution.
        """
        found = self.fused.reading(z, final, lambda few, to: self._apart(few, to, states, capped))
        if found is not None:
            self.checks.fails(found[1].isfinite(), again=False)
            return found[0]
        largest = z.amax(0)
        seen = LayerSums.of(final, z, largest)
        total, cross = self._exponentiate(z, largest, seen)
        finite = cross.isfinite()
        if self.checks.fails(finite if self.checks.masked else finite & seen.expected.isfinite()):
            return self.read(states, final, capped=capped)
        entropy, own = total.log() - cross / total, final.entropy
        kl = torch.where(seen.lost, torch.inf, total.log() - seen.expected - own)
        return Reading(
            jsd=self._jsd(z, final, total, entropy),
            kl=kl.clamp(min=0.0).to(self.wide),
            entropy=entropy.to(self.wide),
            rank=seen.above,
            prob=(seen.watched.double().exp() / total).to(self.wide),
            log_norm=(total.log() + largest).to(self.wide),
        )

    def _apart(self, z: Tensor, final: Final, states: Tensor, capped: bool) -> Reading:
        """A few tokens the plain way, in a buffer of their own."""
        room = Readout(self.unembed, z.shape[1])
        room.fused.used = False
        return room.measure(z, states[: z.shape[1]], final, capped=capped)

    def divergences(
        self,
        states: Float[Tensor, "token d_model"],
        finals: Sequence[Final],
        *,
        tokens: Int[Tensor, " some"] | None = None,
        capped: bool = True,
    ) -> list[Float[Tensor, " token"]]:
        """Jensen-Shannon divergence of one reading from each of several predictions, nats.

        Args:
            states: What the unembedding reads at a layer.
            finals: Final predictions, of one model or of several.
            tokens: Which of their tokens the states are, in ascending order; None for all.
            capped: Whether the model's softcap is applied.

        Raises:
            TextError: Some prediction is not a distribution.
        """
        z = self.project(states, capped=capped)
        total, cross = self._exponentiate(z, z.amax(0))
        if self.checks.fails(cross.isfinite()):
            return self.divergences(states, finals, tokens=tokens, capped=capped)
        if tokens is not None and len(tokens) == finals[0].probs.shape[1]:
            tokens = None
        self.held, entropy = z, total.log() - cross / total
        return [self._jsd(z, final, total, entropy, tokens=tokens) for final in finals]

    def mean_logit(self, z: Float[Tensor, "d_vocab token"]) -> Float[Tensor, " token"]:
        """Mean logit over the vocabulary, in float64.

        Args:
            z: What `project` returned.
        """
        total = torch.zeros(z.shape[1], dtype=torch.float64, device=z.device)
        for rows in self._tiles(z):
            total += rows.double().sum(0)
        return total / len(z)

    def first(self) -> Int[Tensor, " token"]:
        """Most probable id of each token of the last `divergences`."""
        return self._first(self.held, torch.ones_like(self.held[0]))

    def _exponentiate(
        self, z: Tensor, largest: Tensor, seen: "LayerSums | None" = None
    ) -> tuple[Float[Tensor, " token"], Float[Tensor, " token"]]:
        """Turn logits into exp(logit - largest), in place.

        Returns:
            Sum of the exponentials over the vocabulary, and of each times its logit - largest.
        """
        total = torch.zeros(z.shape[1], dtype=torch.float64, device=z.device)
        cross = torch.zeros_like(total)
        start = 0
        for rows in self._tiles(z):
            s, t = self._room(rows)
            torch.sub(rows, largest, out=s)
            if seen is not None:
                seen.look(s, t, start, masked=self.checks.masked)
            if self.checks.masked:
                s.clamp_(min=FLOOR)
            torch.exp(s, out=rows)
            total += rows.sum(0)
            cross += s.mul_(rows).sum(0)
            start += len(rows)
        return total, cross

    def _first(self, z: Tensor, largest: Tensor) -> Int[Tensor, " token"]:
        """First id with the largest logit."""
        if z.device.type != "cpu":
            return z.argmax(0)
        # On a CPU torch's argmax over rows is many times slower.
        top = torch.full((z.shape[1],), len(z), device=z.device)
        start = 0
        for rows in self._tiles(z):
            ids, tokens = (rows == largest).nonzero(as_tuple=True)
            top.scatter_reduce_(0, tokens, ids + start, "amin")
            start += len(rows)
        # Where nothing equals the largest it is NaN, which is refused later.
        return top.clamp_(max=len(z) - 1)

    def _jsd(
        self,
        z: Tensor,
        final: Final,
        total: Tensor,
        entropy: Tensor,
        *,
        tokens: Tensor | None = None,
    ) -> Float[Tensor, " token"]:
        """Divergence from the final predictions, from the exponentials of the layer's logits."""
        own = final.entropy if tokens is None else final.entropy[tokens]
        mixed = torch.zeros_like(total)  # sum of (p + q) log(p + q)
        share = total.reciprocal().to(self.wide)
        start = 0
        for rows in self._tiles(z):
            s, t = self._room(rows)
            beside = final.probs[start : start + len(rows)]
            if tokens is not None:
                beside = torch.index_select(beside, 1, tokens, out=t)
            torch.addcmul(beside, rows, share, out=s)
            torch.log(s.clamp_(min=_TINY), out=t)
            mixed += t.mul_(s).sum(0)
            start += len(rows)
        # Rounding beyond the bounds is cut; nothing else can be there.
        return (LN2 - (mixed + own + entropy) / 2).clamp(0.0, LN2).to(self.wide)

    def _tiles(self, z: Tensor) -> Iterator[Tensor]:
        """Rows of a block, as many as fit a tile."""
        return iter(z.split(max(1, tile_of(z.device) // z.shape[1])))

    def _room(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Two scratch tiles of the shape of some rows."""
        n = rows.numel()
        return self._s[:n].view(rows.shape), self._t[:n].view(rows.shape)
