"""A model of GPT-2's shape whose predictions settle where they are planted, as in a trained one.

What is planted are whole curves of divergence over the layers, taken from a trained model. A text
is made of the ids of some classes; a token's class lies in its embedding, and in every layer two
hidden units a class notice it and write what moves the residual stream from one planted state to
the next. Attention and all other hidden units are random, small and dense, so that a forward costs
what any forward of this shape costs.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.organisms import resolve
from elicit.pair import load_pair
from elicit.revision import DepthConvention, TokenRows, settling, settling_depth
from elicit.stats import Inference
from elicit.tasks import load_task

N_CLASSES = 128
N_CLUSTERS = 512
"""Groups of ids whose unembeddings are alike: a prediction spread over one has about 100 ids."""
CODE = 0.6
"""Size of a class's mark beside what the unembedding reads."""
MARGIN = 0.06
"""Planted divergences keep this far from the threshold, nats: what is random must not decide."""
EARLY = ("the id just read", "another id", "almost uniform")
FINAL = {"one id": 0.6, "three ids": 0.25, "a hundred ids": 0.15}


@dataclass(frozen=True, eq=False, kw_only=True)
class Planted:
    """What was planted."""

    ids: Int[Tensor, " token_class"]
    """Id that stands for each class."""
    depth: Int[Tensor, " token_class"]
    """Layer at which its prediction settles."""

    def text(
        self, n_rows: int, n_pos: int, seed: int = 0
    ) -> tuple[TokenRows, Int[Tensor, " token"]]:
        """Random text of all classes, every position read, and the depth planted at each.

        Args:
            n_rows: Rows.
            n_pos: Tokens of each.
            seed: Seed of the draw.
        """
        draw = torch.Generator().manual_seed(seed)
        # Every class as often as any other, up to one.
        chosen = torch.arange(n_rows * n_pos)[torch.randperm(n_rows * n_pos, generator=draw)]
        chosen = chosen % len(self.ids)
        rows = self.ids[chosen].view(n_rows, n_pos).tolist()
        traces = TokenRows(
            rows=tuple(map(tuple, rows)),
            positions=(tuple(range(n_pos)),) * n_rows,
            problem=tuple(f"row {n}" for n in range(n_rows)),
        )
        return traces, self.depth[chosen]


def trained_curves(n_layers: int) -> Float[Tensor, "token_class layer"]:
    """Divergence curves of a trained model, as many as classes and spread over all its depths.

    They are those of `organism:rl`, post, on its given traces, drawn out to another number of
    layers by straight lines between its own.

    Args:
        n_layers: Blocks of the model that they are for.
    """
    pair = load_pair("organism:rl")
    task = load_task(resolve("organism:rl").problems)
    found = settling(
        pair, TokenRows.of_task(pair.alignment, task), inference=Inference(n_resamples=100)
    )
    curves = torch.nn.functional.interpolate(
        found.jsd[1].T[:, None].float(), size=n_layers + 1, mode="linear", align_corners=True
    )[:, 0]
    depth = settling_depth(curves.T, DepthConvention())
    order = (depth * 10 + curves.mean(1)).argsort()
    return curves[order[torch.linspace(0, len(order) - 1, N_CLASSES).round().long()]]


@torch.no_grad()
def plant(
    model: Any, curves: Float[Tensor, "token_class layer"], convention: DepthConvention
) -> Planted:
    """Give a random GPT-2 with an unembedding of its own these curves.

    Args:
        model: `GPT2LMHeadModel`, changed in place.
        curves: Divergence of each state from the final prediction, nats; the embedding's is not
            planted.
        convention: Whose depths are planted.
    """
    draw = torch.Generator().manual_seed(0)

    def normal(*shape: int, std: float = 1.0) -> Tensor:
        return torch.randn(*shape, generator=draw) * std

    body, weight = model.transformer, model.lm_head.weight
    (d_vocab, d), n_classes, n_layers = weight.shape, len(curves), len(body.h)
    centre = normal(N_CLUSTERS, d)
    rows = (
        math.sqrt(0.8) * normal(d_vocab, d)
        + math.sqrt(0.2) * centre[torch.arange(d_vocab) % N_CLUSTERS]
    )
    # Without a mean, so that the final norm only scales.
    weight.copy_((rows - rows.mean(1, keepdim=True)) / math.sqrt(d))
    code = torch.linalg.qr(_free(normal(n_classes, d)).T).Q.T

    few = 1000 + torch.randperm(d_vocab - 1000, generator=draw)
    ids, other, answers = few[:n_classes], few[1000:1032], few[2000:]
    early = _early(weight, ids, other, normal(n_classes, d))
    final = _final(weight, answers, centre, n_classes, draw)
    planted = _away(curves, convention.nats)
    share = _shares(planted, early, final, code, weight)
    states = _states(early, final, code, share)
    states[:, 0] = math.sqrt(d) * (_unit(weight[ids]) + CODE * code)

    for name, parameter in model.named_parameters():
        if "ln_" in name:
            parameter.copy_(torch.full_like(parameter, float(name.endswith("weight"))))
        elif name.endswith("bias"):
            parameter.zero_()
    body.wpe.weight.copy_(normal(*body.wpe.weight.shape, std=0.01))
    body.wte.weight.copy_(math.sqrt(d) * normal(d_vocab, d))
    body.wte.weight[ids] = states[:, 0]
    on = math.sqrt(d) * CODE / math.sqrt(1 + CODE**2)
    steep, threshold = 4.0, 0.6 * on
    for layer, block in enumerate(body.h):
        block.attn.c_proj.weight.copy_(normal(*block.attn.c_proj.weight.shape, std=1e-3))
        up, down = block.mlp.c_fc, block.mlp.c_proj
        down.weight.copy_(normal(*down.weight.shape, std=6e-4))
        # GELU(x) - GELU(x - 1) is 1 where x is large, and 0 where it is far below 0.
        for unit, sign in ((slice(0, n_classes), 1.0), (slice(n_classes, 2 * n_classes), -1.0)):
            up.weight[:, unit] = steep * code.T
            up.bias[unit] = -steep * threshold - (sign < 0)
            down.weight[unit] = sign * (states[:, layer + 1] - states[:, layer])
    assert states.shape[1] == n_layers + 1
    return Planted(ids=ids, depth=settling_depth(planted.T, convention))


def _early(weight: Tensor, ids: Tensor, other: Tensor, noise: Tensor) -> Tensor:
    """What the layers predict before: a third of the classes each of `EARLY`."""
    found = _unit(_free(noise))
    for kind, chosen in enumerate((ids, other[torch.arange(len(ids)) % len(other)])):
        mine = torch.arange(len(ids)) % len(EARLY) == kind
        found[mine] = _unit(weight[chosen[mine]])
    return found


def _final(
    weight: Tensor, answers: Tensor, centre: Tensor, n_classes: int, draw: torch.Generator
) -> Tensor:
    """What is predicted in the end, in the shares of `FINAL`."""
    bounds = torch.tensor(list(FINAL.values())).cumsum(0) * n_classes
    place = torch.randperm(n_classes, generator=draw)
    one = _unit(weight[answers[:n_classes]])
    more = answers[n_classes : 3 * n_classes].view(2, -1)
    three = _unit(one + 0.95 * _unit(weight[more[0]]) + 0.9 * _unit(weight[more[1]]))
    many = _unit(_free(centre[torch.arange(n_classes) % len(centre)]))
    kind = (place[:, None] >= bounds[:-1]).sum(1)[:, None]
    return torch.where(kind == 0, one, torch.where(kind == 1, three, many))


def _away(curves: Tensor, nats: float) -> Tensor:
    """Curves that keep their distance from the threshold, each on its own side."""
    below = curves <= nats
    found = torch.where(below, curves.clamp(max=nats - MARGIN), curves.clamp(min=nats + MARGIN))
    found[:, -1] = 0.0
    return found


def _shares(
    curves: Tensor, early: Tensor, final: Tensor, code: Tensor, weight: Tensor
) -> Float[Tensor, "token_class layer"]:
    """How much of the final direction gives each divergence, read off a table of 33 shares."""
    table = torch.linspace(0, 1, 33)
    found = torch.empty_like(curves)
    for each in range(len(curves)):
        one = slice(each, each + 1)
        states = _states(early[one], final[one], code[one], table[None])[0]
        logits = torch.nn.functional.layer_norm(states, states.shape[-1:]) @ weight.T
        jsd = plain_jsd(logits, logits[-1:])
        # The last share whose divergence is still as large, then on a straight line to the next.
        place = (jsd[None, :-1] >= curves[each][:, None]).long().cumsum(1).argmax(1)
        high, low = jsd[place], jsd[place + 1]
        part = ((high - curves[each]) / (high - low).clamp(min=1e-6)).clamp(0, 1)
        found[each] = table[place] + part * (table[1] - table[0])
    found[:, -1] = 1.0
    return found


def _states(early: Tensor, final: Tensor, code: Tensor, share: Tensor) -> Tensor:
    """Residual streams `[token_class layer d_model]`."""
    part = share[..., None]
    mixed = _unit((1 - part) * early[:, None] + part * final[:, None])
    return math.sqrt(early.shape[1]) * (mixed + CODE * code[:, None])


def plain_jsd(
    logits: Float[Tensor, "token d_vocab"], final: Float[Tensor, "#token d_vocab"]
) -> Float[Tensor, " token"]:
    """Jensen-Shannon divergence as it is usually written, from whole arrays of log-probabilities.

    Args:
        logits: Of a layer.
        final: Of the last one.
    """
    log_q, log_p = logits.log_softmax(-1), final.log_softmax(-1)
    q, p = log_q.exp(), log_p.exp()
    log_m = ((p + q) / 2).clamp(min=1e-30).log()
    return ((p * (log_p - log_m)).sum(-1) + (q * (log_q - log_m)).sum(-1)) / 2


def _unit(x: Tensor) -> Tensor:
    return x / x.norm(dim=-1, keepdim=True)


def _free(x: Tensor) -> Tensor:
    return x - x.mean(-1, keepdim=True)
