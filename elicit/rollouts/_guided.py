"""The next token of guided texts: plain, pushed, or picked by the guide."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from elicit.rollouts._cached import CachedReader
from elicit.rollouts.errors import RolloutError
from elicit.rollouts.guidance import Guidance
from elicit.rollouts.streams import draw


class Push:
    """What is added to the newest token of every row, and what was there before."""

    def __init__(self, vector: Float[Tensor, " width"]) -> None:
        """Nothing is added until `amount` is set."""
        self.vector = vector
        self.amount: Tensor | None = None
        self.state: Tensor | None = None

    def __call__(self, x: Float[Tensor, "row width"]) -> Float[Tensor, "row width"]:
        """The push of each row; where it is 0 the activation keeps its bits."""
        if self.amount is None:
            self.state = x.detach()
            return torch.zeros_like(x)
        return self.amount.to(x.device)[:, None] * self.vector.to(x.device)


class Chooser:
    """Chooses the next token of every row, and counts what was done to it."""

    def __init__(
        self,
        guidance: Guidance,
        reader: CachedReader,
        push: Push | None,
        *,
        d_vocab: int,
        temperature: float,
        top_p: float,
        uniform: Float[Tensor, "row length"],
        chance: Float[Tensor, "row length"],
    ) -> None:
        """At the beginning of a batch; `uniform` draws tokens, `chance` the random switch."""
        self.guidance, self.reader, self.push, self.d_vocab = guidance, reader, push, d_vocab
        self.temperature, self.top_p = temperature, top_p
        self.uniform, self.chance = uniform, chance
        self.n_touched = torch.zeros(len(uniform), dtype=torch.long, device=uniform.device)
        self.n_changed = self.n_touched.clone()

    def __call__(
        self,
        logits: Sequence[Float[Tensor, "row d_vocab"]],
        rows: Int[Tensor, " row"],
        step: int,
        running: Bool[Tensor, " row"],
    ) -> Int[Tensor, " row"]:
        """Next tokens; what the host's cache then holds is that of the choice."""
        plain = logits[0]
        own = self._draw(plain, rows, step)
        guide = logits[1][:, : self.d_vocab].to(plain.device) if len(logits) > 1 else None
        if self.guidance.rerank and guide is not None:
            token = self._reranked(plain, guide, rows, step)
            touched = (token != own) & running
        else:
            fires = self._fires(plain, guide, rows, step) & running
            if self.push is None or not bool(fires.any()):
                return own
            token, touched = self._pushed(own, guide, fires, rows, step)
        self.n_touched[rows] += touched
        self.n_changed[rows] += touched & (token != own)
        return token

    def _draw(
        self, logits: Float[Tensor, "row d_vocab"], rows: Int[Tensor, " row"], step: int
    ) -> Int[Tensor, " row"]:
        if self.temperature == 0:
            return logits.argmax(-1)
        return draw(
            logits,
            temperature=self.temperature,
            top_p=self.top_p,
            uniform=self.uniform[rows, step],
        )

    def _fires(
        self, plain: Tensor, guide: Tensor | None, rows: Tensor, step: int
    ) -> Bool[Tensor, " row"]:
        """Whether each row's newest token is pushed."""
        every = torch.ones(len(rows), dtype=torch.bool, device=plain.device)
        match self.guidance.switch:
            case "oracle":
                assert guide is not None, "checked by guided_rollouts"
                return plain[:, : self.d_vocab].argmax(-1) != guide.argmax(-1)
            case "learned":
                assert self.push is not None and self.push.state is not None
                assert self.guidance.state_switch is not None, "checked by Guidance"
                return self.guidance.state_switch(self.push.state).to(plain.device)
            case "first":
                return every & (step == 0)
            case "all":
                return every
            case "random":
                return self.chance[rows, step] < self.guidance.rate
        return ~every

    def _pushed(
        self, own: Tensor, guide: Tensor | None, fires: Tensor, rows: Tensor, step: int
    ) -> tuple[Int[Tensor, " row"], Bool[Tensor, " row"]]:
        """Tokens where the newest one is pushed, and where that is what is written."""
        multiples = torch.tensor(self.guidance.coefficients, device=own.device)
        candidates = [own]
        for multiple in multiples:
            logits = self._reread(torch.where(fires, multiple, 0.0), fires, step)
            candidates.append(torch.where(fires, self._draw(logits, rows, step), own))
        if not self.guidance.guardrail:
            return candidates[-1], fires
        assert guide is not None, "checked by guided_rollouts"
        # A token outside the vocabulary that both know has no probability under the guide.
        each = torch.stack(candidates, dim=1)
        known = guide.gather(1, each.clamp(max=self.d_vocab - 1))
        chosen = torch.where(each < self.d_vocab, known, -torch.inf).argmax(1)
        amounts = torch.cat([multiples.new_zeros(1), multiples])[chosen]
        if bool((amounts != torch.where(fires, multiples[-1], 0.0)).any()):
            self._reread(torch.where(fires, amounts, 0.0), fires, step)
        return each.gather(1, chosen[:, None])[:, 0], fires & (chosen > 0)

    def _reread(self, amount: Tensor, fires: Tensor, step: int) -> Float[Tensor, "row d_vocab"]:
        """Logits with the newest tokens pushed by some amounts."""
        assert self.push is not None
        self.push.amount = amount
        logits = self.reader.reread()
        self.push.amount = None
        broken = int((fires & ~torch.isfinite(logits.amax(-1))).sum())
        if broken:
            raise RolloutError(
                f"the logits of {broken} of {len(fires)} rows are not finite under the push at new "
                f"token {step}, so what is drawn there means nothing. Pass a smaller coefficient, "
                "or use a dtype of more range, such as bfloat16 or float32."
            )
        return logits

    def _reranked(
        self, plain: Tensor, guide: Tensor, rows: Tensor, step: int
    ) -> Int[Tensor, " row"]:
        """The guide's choice among the host's most probable tokens."""
        n = min(self.guidance.rerank, self.d_vocab)
        top = plain[:, : self.d_vocab].topk(n, dim=-1).indices
        at = self._draw(guide.gather(1, top), rows, step)
        return top.gather(1, at[:, None])[:, 0]
