"""Activation-difference lens: how post-training shifted activations on unrelated text."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from elicit.capture import stream, unembed_of
from elicit.directions.contrast import check_sites
from elicit.directions.errors import DirectionError
from elicit.directions.values import Direction
from elicit.pair import ModelPair, Text
from elicit.results import Result, digest_json
from elicit.runs import Execution
from elicit.sites import RESIDUAL_KINDS, Site, parse_site, resid_post

_SPLITS = 20
"""Random splits for the split-half reliability."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ActivationShift(Result):
    """Mean activation of post minus base at the first tokens of unrelated text, with logit lens.

    Narrow fine-tuning leaves a constant shift that reveals its subject; mixed with other data it
    may not. A shift is no evidence of a causal effect: steer with it (`elicitation.dose_curve`).
    """

    base: str
    """Name of the base model."""
    post: str
    """Name of the post-trained model."""
    base_digest: str
    """Digest of the base's weights."""
    site: tuple[str, ...]
    """Name of each site."""
    layer: Int[Tensor, " site"]
    """Layer of each site."""
    pos: Int[Tensor, " pos"]
    """Position from the start of the text, BOS included."""
    shift: Float[Tensor, "site pos width"]
    """Mean over texts of post's activation minus base's."""
    norm: Float[Tensor, "site pos"]
    """Norm of the shift; exactly 0 where the models are identical up to there."""
    resid_norm: Float[Tensor, "site pos"]
    """Mean norm of base's activations."""
    constant: Float[Tensor, "site pos"]
    """Share of the squared differences explained by the mean shift, in [0, 1]: 1 if all texts
    shift alike. NaN where the shift is 0."""
    reliability: Float[Tensor, "site pos"]
    """Cosine between the shifts of two halves of the texts, mean over random splits. NaN where
    the shift is 0."""
    token: Int[Tensor, "site pos rank"]
    """Token ids that the logit lens reads from the shift, the most promoted first."""
    word: tuple[tuple[tuple[str, ...], ...], ...]
    """Their texts, by site, position and rank."""
    n_texts: int
    """Texts the means are over."""

    @property
    def first_layer(self) -> int:
        """First layer with a nonzero shift; before it the models are identical."""
        moved = self.norm.amax(-1) > 0
        return int(self.layer[moved].min())

    def direction(self, site: Site, pos: int | None = None) -> Direction:
        """The shift at one site as a steering direction for base.

        Args:
            site: One of those that were read.
            pos: One position; None: the mean over all positions read but the first, whose
                activations are often atypical.

        Raises:
            DirectionError: Site or position were not read, or the shift there is 0.
        """
        if str(site) not in self.site or (pos is not None and pos not in self.pos.tolist()):
            raise DirectionError(
                f"there is no shift at {site}, position {pos}; {', '.join(self.site)} were read at "
                f"positions {self.pos.tolist()}. Pass one of these."
            )
        row = self.site.index(str(site))
        column = self.pos.tolist().index(pos) if pos is not None else slice(len(self.pos) > 1, None)
        vector = self.shift[row, column].reshape(-1, self.shift.shape[-1]).mean(0)
        return Direction(
            provenance=self.provenance,
            vector=vector,
            site=parse_site(self.site[row]),
            model=self.base,
            model_digest=self.base_digest,
            how="mean activation shift, post minus base",
            position="first tokens of unrelated text" if pos is None else f"position {pos}",
            norm=vector.norm().item(),
            resid_norm=self.resid_norm[row, column].mean().item(),
            n=self.n_texts,
        )


def activation_shift(
    pair: ModelPair,
    texts: Sequence[Text],
    *,
    sites: Sequence[Site] | None = None,
    n_positions: int = 5,
    top: int = 10,
    templated: bool = False,
    seed: int = 0,
    execution: Execution = Execution(),
) -> ActivationShift:
    """Mean of post minus base at the first tokens of texts, read by the base's logit lens.

    Args:
        pair: The two models.
        texts: Unrelated to what post was trained on, each of at least `n_positions` tokens.
        sites: Sites of the residual stream; None takes the output of every layer.
        n_positions: Number of first tokens read, BOS included.
        top: Logit-lens tokens kept per shift.
        templated: Whether texts go through the chat template.
        seed: Seed of the splits.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        DirectionError: There are fewer than 4 texts, one is too short, a site is not of the
            residual stream, `top` is out of range, or the shift is 0 everywhere.
        SiteError: The models do not have a site.

    Source: Minder et al. 2025, arXiv:2510.13900 (Activation Difference Lens). Their patchscope and
        search for a strength are left out; `constant` and `reliability` are ours.
    """
    if sites is None:
        sites = [resid_post(layer) for layer in range(pair.n_layers)]
    rows = _checked(pair, texts, sites, n_positions, top, templated)
    base, post = (
        _read(model, pair.alignment.pad_id, rows, sites, execution)
        for model in (pair.base, pair.post)
    )
    each = post - base
    shift = each.mean(0)
    norm = shift.norm(dim=-1)
    if not bool(norm.any()):
        raise DirectionError(
            f"the shift has norm 0 at every site: post equals base on these "
            f"{len(rows)} texts, so there is no direction between them. Pass two models that "
            "differ, or sites after the first layer that does."
        )
    head = unembed_of(pair.base, d_vocab=pair.d_vocab)
    weight = head.weight
    with torch.no_grad():
        read = head.logits(shift.to(weight.device, weight.dtype))
    token = read.topk(top, dim=-1).indices.cpu()
    still = norm == 0
    return ActivationShift(
        provenance=pair.provenance(
            seed,
            {
                "question": "activation_shift",
                "sites": [str(site) for site in sites],
                "n_positions": n_positions,
                "top": top,
                "templated": templated,
            },
            task_digests={"texts": digest_json(rows)},
        ),
        base=pair.base_name,
        post=pair.post_name,
        base_digest=pair.base_digest,
        site=tuple(map(str, sites)),
        layer=torch.tensor([site.layer for site in sites]),
        pos=torch.arange(n_positions),
        shift=shift.float(),
        norm=norm,
        resid_norm=base.norm(dim=-1).mean(0),
        constant=(norm.square() / each.square().sum(-1).mean(0)).masked_fill(still, torch.nan),
        reliability=_half_cosines(each, seed).masked_fill(still, torch.nan),
        token=token,
        word=tuple(
            tuple(tuple(pair.alignment.decode([i]) for i in ids) for ids in line)
            for line in token.tolist()
        ),
        n_texts=len(rows),
    )


def _checked(
    pair: ModelPair,
    texts: Sequence[Text],
    sites: Sequence[Site],
    n_positions: int,
    top: int,
    templated: bool,
) -> tuple[tuple[int, ...], ...]:
    """First token ids of each text, after validation for both models."""
    check_sites(pair.base, sites)
    strange = [str(site) for site in sites if site.kind not in RESIDUAL_KINDS]
    if strange:
        raise DirectionError(
            f"{strange[0]} is no residual stream, so the logit lens does not apply. Pass sites "
            "such as resid_post(3)."
        )
    if n_positions < 1 or not 1 <= top <= pair.d_vocab:
        raise DirectionError(
            f"n_positions is {n_positions} and top {top}, so nothing would be read. Pass at "
            f"least 1 position, and 1 to {pair.d_vocab} ids."
        )
    if len(texts) < 4:
        raise DirectionError(
            f"there are {len(texts)} texts, but the split-half reliability needs at least 4. Pass "
            "more; hundreds are usual."
        )
    encode = pair.alignment.templated if templated else pair.alignment.plain
    rows = [tuple(encode(text)) for text in texts]  # pyright: ignore[reportArgumentType]
    short = next((i for i, row in enumerate(rows) if len(row) < n_positions), None)
    if short is not None:
        raise DirectionError(
            f"text {short} has {len(rows[short])} tokens but {n_positions} positions are read, so "
            "the means would be over different texts at each. Leave it out, or lower n_positions."
        )
    # Later tokens cannot change earlier ones, so they need not be run.
    return tuple(row[:n_positions] for row in rows)


def _read(
    model: nn.Module,
    pad_id: int,
    rows: Sequence[Sequence[int]],
    sites: Sequence[Site],
    execution: Execution,
) -> Float[Tensor, "text site pos width"]:
    """Activations of one model at all positions of all texts, in float64 on the CPU."""
    result: list[Tensor] = [torch.empty(0)] * len(rows)
    for chunk in stream(model, rows, sites=sites, pad_id=pad_id, execution=execution):
        values = torch.stack([chunk.captured.at[site].double().cpu() for site in sites], dim=1)
        for line, row in enumerate(chunk.rows):
            result[row] = values[line]
    return torch.stack(result)


def _half_cosines(
    each: Float[Tensor, "text site pos width"], seed: int
) -> Float[Tensor, "site pos"]:
    """Cosine between the mean differences of two random halves of the texts, mean over splits."""
    rng = np.random.default_rng(seed)
    result = []
    for _ in range(_SPLITS):
        order = torch.from_numpy(rng.permutation(len(each)))
        first, second = order.tensor_split(2)
        result.append(torch.cosine_similarity(each[first].mean(0), each[second].mean(0), dim=-1))
    return torch.stack(result).mean(0)
