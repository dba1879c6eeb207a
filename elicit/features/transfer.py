"""Does one model's SAE reconstruct the other, and do its features mean the same there?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.edits import Ablate, Edit, Shift, window
from elicit.features._cross_entropy import entropy_by_row, recovered
from elicit.features._ratios import Deviations, Spread, with_ends
from elicit.features._reading import Rows, blocks, check_sae, name_of, rows_of, sae_arguments, wide
from elicit.features.errors import FeatureError
from elicit.features.frames import Frame, fit_frames
from elicit.features.sae import Sae
from elicit.features.texts import TextRows, text_rows
from elicit.pair import ModelPair, Side
from elicit.results import Estimate, Result, digest_json
from elicit.runs import Execution
from elicit.stats import Inference, linearised_ratio

READINGS = ("own", "other", "other, mean-shifted", "other, rotated")


@dataclass(frozen=True, eq=False, kw_only=True)
class Transfer(Result):
    """Fidelity of one model's SAE on the other: raw, mean-shifted, and rotated."""

    sae: str
    """Name of the SAE."""
    site: str
    """Site read in both models."""
    own: str
    """Model that the SAE belongs to."""
    other: str
    """Model that the SAE is applied to."""
    n_tokens: int
    """Tokens read in both; first and special tokens do not count."""
    n_fit_tokens: int
    """Tokens of other texts that mean and rotation were fitted on."""
    n_problems: int
    """Problems, the unit of every interval."""
    level: float
    """Coverage of every interval, each alone."""
    reading: tuple[str, ...]
    """Model and map of the activations before encoding."""
    fvu: Annotated[Estimate, " reading"]
    """Fraction of variance unexplained, about the mean of the activations read."""
    delta_fvu: Annotated[Estimate, " reading"]
    """FVU minus that on the SAE's own model, paired by problem."""
    l0: Float[Tensor, " reading"]
    """Mean number of active features per token."""
    l0_ratio: Float[Tensor, " reading"]
    """L0 divided by that on the SAE's own model."""
    dead_fraction: Float[Tensor, " reading"]
    """Share of features active on none of these tokens."""
    ce: Float[Tensor, " reading"]
    """Cross-entropy of the model that is read, nats per token."""
    ce_spliced: Float[Tensor, " reading"]
    """The same with the reconstruction, mapped back, in place of the activation."""
    ce_zero: Float[Tensor, " reading"]
    """The same with the activation set to zero."""
    ce_recovered: Annotated[Estimate, " reading"]
    """Share of the zero-ablation loss that the reconstruction recovers: 1 all. NaN: no loss."""
    feature: Int[Tensor, " feature"]
    """Index of each feature."""
    correlation: Float[Tensor, "feature reading"]
    """Correlation of a feature's activations with those on the SAE's own model, at the same tokens.
    NaN: constant on one of the two."""


def transfer(
    pair: ModelPair,
    sae: Sae,
    texts: TextRows | Sequence[Sequence[int]],
    *,
    model: str,
    fit: Sequence[Sequence[int]],
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> Transfer:
    """Apply an SAE to the other model: fidelity raw, after a shift, and after a rotation.

    Fidelity that a shift or rotation restores was never lost, only moved.

    Args:
        pair: Base and post.
        sae: SAE of `model`.
        texts: Token ids that are read, and their problems if rows share some.
        model: Which model the SAE belongs to, `base` or `post`.
        fit: Token ids of other texts, on which mean and rotation are fitted.
        inference: Coverage and resamples of the intervals, and the seed.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        FeatureError: The SAE has another width, site or models, reads context or is a transcoder,
            or there are too few tokens to read or fit.
    """
    sae.check_reconstructs()
    if sae.reads_context:
        raise FeatureError(
            f"{sae.name} reads previous tokens, so it cannot be applied to activations mapped "
            "token by token. Pass an SAE that reads each token independently."
        )
    name = "post" if model == "base" else "base"
    own, other = check_sae(pair, sae, model), check_sae(pair, sae, name)
    texts = text_rows(texts)
    tokens = rows_of(pair, texts.rows)
    frames = fit_frames(pair, fit, site=sae.site, model=model, execution=execution)
    maps = (None, None, frames.mean, frames.rotated)
    problem = texts.numbers
    sums = [_Sums(sae, tokens) for _ in READINGS]
    both = zip(
        blocks(own, sae, tokens, execution=execution),
        blocks(other, sae, tokens, execution=execution.quiet()),
        strict=True,
    )
    for block, across in both:
        for i, (frame, total) in enumerate(zip(maps, sums, strict=True)):
            x = block.x if i == 0 else across.x
            x = x if frame is None else frame.into(x)
            acts = (block.acts, across.acts)[i] if i < 2 else sae.encode(x)
            total.update(block.index, x, acts, sae.reconstruct(x), block.acts)
    clean, spliced, zero = _entropies(sae, tokens, own, other, maps, execution)
    n = sum(len(row) - 1 for row in tokens.rows)
    fvu = torch.tensor([total.error / total.spread.total for total in sums], dtype=torch.float64)
    l0 = torch.tensor([float(total.active.sum()) / total.spread.n for total in sums])
    by_problem = [
        linearised_ratio(total.rows.error, total.rows.spread(), problem) for total in sums
    ]
    saved = [recovered(*rows) for rows in zip(clean, spliced, zero, strict=True)]
    kept = [
        # A share of zero loss has no interval either.
        torch.where(
            torch.tensor(share == share), linearised_ratio(z - m, z - c, problem), torch.nan
        )
        for share, c, m, z in zip(saved, clean, spliced, zero, strict=True)
    ]

    def estimate(values: Sequence[float], rows: Sequence[Tensor]) -> Estimate:
        return Estimate.stack(
            with_ends(value, row, inference) for value, row in zip(values, rows, strict=True)
        )

    return Transfer(
        sae=sae.name,
        site=str(sae.site),
        own=name_of(pair, model),
        other=name_of(pair, name),
        n_tokens=sums[0].spread.n,
        n_fit_tokens=frames.n_tokens,
        n_problems=int(problem.max()) + 1,
        level=inference.level,
        reading=READINGS,
        fvu=estimate(fvu.tolist(), by_problem),
        delta_fvu=estimate((fvu - fvu[0]).tolist(), [part - by_problem[0] for part in by_problem]),
        l0=l0,
        l0_ratio=l0 / l0[0],
        dead_fraction=torch.tensor([float((t.active == 0).double().mean()) for t in sums]),
        ce=clean.sum(1) / n,
        ce_spliced=spliced.sum(1) / n,
        ce_zero=zero.sum(1) / n,
        ce_recovered=estimate(saved, kept),
        feature=torch.arange(sae.d_sae),
        correlation=torch.stack([total.correlation() for total in sums], dim=1),
        provenance=pair.provenance(
            seed=inference.seed,
            arguments={
                **sae_arguments(sae),
                **texts.arguments,
                "model": model,
                "fit": digest_json([list(map(int, row)) for row in fit]),
                "level": inference.level,
                "n_resamples": inference.n_resamples,
            },
        ),
    )


class _Sums:
    """Running sums of one readout."""

    def __init__(self, sae: Sae, tokens: Rows) -> None:
        """Start empty."""
        self.spread, self.error, self.rows = Spread(sae.d_in), 0.0, Deviations(tokens)
        self.active = torch.zeros(sae.d_sae, dtype=torch.long)
        self.products = torch.zeros(5, sae.d_sae, dtype=torch.float64)

    def update(self, index: Tensor, x: Tensor, acts: Tensor, made: Tensor, own: Tensor) -> None:
        """Add tokens: x, features, reconstruction, and features of the SAE's own model."""
        self.spread.update(x)
        self.error += float((wide(x).to(made.device) - wide(made)).square().sum())
        active = acts != 0
        self.rows.update(index, wide(x), wide(made), active.sum(1))
        self.active += active.sum(0).cpu()
        a, b = wide(acts), wide(own)
        parts = [part.sum(0) for part in (a, b, a * a, b * b, a * b)]
        self.products += torch.stack(parts).cpu()

    def correlation(self) -> Float[Tensor, " feature"]:
        """Pearson correlation of the two models' features; exactly 1 where they are equal."""
        a, b, aa, bb, ab = self.products
        n = self.spread.n
        own, other, joint = aa - a * a / n, bb - b * b / n, ab - a * b / n
        # A constant feature leaves only rounding.
        varies = (own > 1e-9 * aa) & (other > 1e-9 * bb)
        return torch.where(varies, joint / (own * other).sqrt(), torch.nan)


def _entropies(
    sae: Sae,
    tokens: Rows,
    own: Side,
    other: Side,
    maps: Sequence[Frame | None],
    execution: Execution,
) -> Float[Tensor, "edit reading row"]:
    """Cross-entropy without edits, spliced and zero-ablated, of each reading and row."""

    def of(side: Side, edits: Sequence[Edit]) -> Tensor:
        return entropy_by_row(side, tokens, edits, execution=execution)[0]

    # The first token of a row is an attention sink, on which SAEs are not trained.
    where = window(1)
    spliced = [
        of(side, [Shift(sae.site, _Framed(sae, frame), where=where, width=sae.d_in)])
        for side, frame in zip((own, other, other, other), maps, strict=True)
    ]
    # The other model's texts are the same for all of its readings.
    clean, zero = (
        [first, *[second] * (len(maps) - 1)]
        for first, second in (
            [of(side, edits) for side in (own, other)]
            for edits in ([], [Ablate(sae.site, where=where)])
        )
    )
    return torch.stack([torch.stack(values) for values in (clean, spliced, zero)])


@dataclass(frozen=True, eq=False)
class _Framed:
    """Splices in the reconstruction made in another frame and mapped back."""

    sae: Sae
    frame: Frame | None

    def __call__(self, x: Float[Tensor, "token width"]) -> Float[Tensor, "token width"]:
        """Reconstruction minus activation."""
        seen = x if self.frame is None else self.frame.into(x)
        made = self.sae.reconstruct(seen)
        made = made if self.frame is None else self.frame.back(made)
        return made - x.to(made.device)  # the SAE may be on the device of the other model
