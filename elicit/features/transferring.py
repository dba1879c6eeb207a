"""Does one model's SAE hold the other's activations, and do its features mean the same there?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.edits import Ablate, Edit, Shift, window
from elicit.features.errors import FeatureError
from elicit.features.frames import Frame, fit_frames
from elicit.features.ratios import Deviations, Spread, ends, problem_numbers, shares
from elicit.features.reading import On, Rows, blocks, checked, rows_of, told_of, wide
from elicit.features.sae import Sae
from elicit.features.splicing import entropy_by_row, recovered
from elicit.pair import ModelPair
from elicit.results import Result, digest_json
from elicit.runs import Execution
from elicit.stats import Inference

READINGS = ("own", "other", "other, mean moved", "other, rotated")


@dataclass(frozen=True, eq=False, kw_only=True)
class Transfer(Result):
    """How well an SAE of one model holds the other: as it is, mean moved, and rotated."""

    sae: str
    """Name of the SAE."""
    site: str
    """Where both models were read."""
    own: str
    """Model that the SAE belongs to."""
    other: str
    """Model that it is tried on."""
    n_tokens: int
    """Tokens read in both; first and special ones do not count."""
    n_fit_tokens: int
    """Tokens of other texts that mean and rotation were fitted to."""
    n_problems: int
    """Problems, the unit of every interval."""
    level: float
    """Coverage of every interval, each alone."""
    reading: tuple[str, ...]
    """Whose activations, and what was done to them before encoding."""
    fvu: Float[Tensor, " reading"]
    """Unexplained share of the variance about the mean of the activations read."""
    fvu_low: Float[Tensor, " reading"]
    """Lower end; NaN of one problem."""
    fvu_high: Float[Tensor, " reading"]
    """Upper end."""
    delta_fvu: Float[Tensor, " reading"]
    """FVU minus that of the own model."""
    delta_fvu_low: Float[Tensor, " reading"]
    """Lower end, paired by problem."""
    delta_fvu_high: Float[Tensor, " reading"]
    """Upper end."""
    l0: Float[Tensor, " reading"]
    """Mean active features a token."""
    l0_ratio: Float[Tensor, " reading"]
    """L0 over that of the own model."""
    dead_fraction: Float[Tensor, " reading"]
    """Share of features active on none of these tokens."""
    ce: Float[Tensor, " reading"]
    """Cross-entropy of the model read, untouched, nats a token."""
    ce_spliced: Float[Tensor, " reading"]
    """The same with the reconstruction in place of the activation, brought back into its frame."""
    ce_zero: Float[Tensor, " reading"]
    """The same with nothing in its place."""
    ce_recovered: Float[Tensor, " reading"]
    """Share of what nothing costs that the reconstruction saves: 1 all. NaN: it costs nothing."""
    ce_recovered_low: Float[Tensor, " reading"]
    """Lower end."""
    ce_recovered_high: Float[Tensor, " reading"]
    """Upper end."""
    feature: Int[Tensor, " feature"]
    """Number of each feature."""
    correlation: Float[Tensor, "feature reading"]
    """Correlation of a feature's activations with those on the own model, at the same tokens. NaN:
    it does not vary on one of the two."""


def transfer(
    pair: ModelPair,
    sae: Sae,
    rows: Sequence[Sequence[int]],
    *,
    own: On,
    fit: Sequence[Sequence[int]],
    problem: Sequence[str] | None = None,
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> Transfer:
    """Read the other model with an SAE: what it loses, and what a shift or a rotation gives back.

    What moving the mean or rotating restores was never lost, only put elsewhere.

    Args:
        pair: Base and post.
        sae: SAE of the model `own`.
        rows: Token ids that are read.
        own: Which model the SAE belongs to.
        fit: Token ids of other texts, which mean and rotation are fitted to.
        problem: Problem of each row, the unit of intervals; None: every row is its own.
        inference: Coverage and resamples of the intervals, and the seed.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        FeatureError: The SAE is of another width, site or models, reads context or is a transcoder,
            or there is too little to read or to fit to.
    """
    sae.check_reconstructs()
    if sae.reads_context:
        raise FeatureError(
            f"{sae.name} reads the tokens before, so it cannot be tried on activations that were "
            "moved one by one. Pass an SAE that reads each token alone."
        )
    other: On = "post" if own == "base" else "base"
    mine, theirs, tokens = checked(pair, sae, own), checked(pair, sae, other), rows_of(pair, rows)
    frames = fit_frames(pair, fit, site=sae.site, own=own, max_tokens=execution.max_tokens)
    maps = (None, None, frames.mean, frames.rotated)
    of = problem_numbers(problem, len(tokens.rows))
    sums = [_Sums(sae, tokens) for _ in READINGS]
    pad_id = pair.alignment.pad_id
    both = zip(
        blocks(mine, sae, tokens, pad_id=pad_id, execution=execution),
        blocks(theirs, sae, tokens, pad_id=pad_id, execution=execution.quiet()),
        strict=True,
    )
    for block, across in both:
        own_acts = block.acts
        for i, (frame, total) in enumerate(zip(maps, sums, strict=True)):
            x = block.x if i == 0 else across.x
            x = x if frame is None else frame.into(x)
            acts = (block.acts, across.acts)[i] if i < 2 else sae.encode(x)
            total.update(block.index, x, acts, sae.reconstruct(x), own_acts)
    clean, spliced, zero, n = _entropies(pair, sae, tokens, own, other, maps, execution.max_tokens)
    fvu = torch.tensor([total.error / total.spread.total for total in sums], dtype=torch.float64)
    l0 = torch.tensor([float(total.active.sum()) / total.spread.n for total in sums])
    values = [shares(total.rows.error, total.rows.spread(), of) for total in sums]
    saved = [recovered(c, m, z) for c, m, z in zip(clean, spliced, zero, strict=True)]
    kept = [
        # A share of a cost that is none has no interval either.
        shares(z - m, z - c, of) if share == share else np.full(int(of.max()) + 1, np.nan)
        for share, c, m, z in zip(saved, clean, spliced, zero, strict=True)
    ]

    def bounds(of_readings: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
        found = [ends(v, inference=inference) for v in of_readings]
        low, high = zip(*found, strict=True)
        return torch.tensor(low, dtype=torch.float64), torch.tensor(high, dtype=torch.float64)

    fvu_ends, kept_ends = bounds(values), bounds(kept)
    delta_ends = bounds([part - values[0] for part in values])
    names = {"base": pair.base_name, "post": pair.post_name}
    return Transfer(
        sae=sae.name,
        site=str(sae.site),
        own=names[own],
        other=names[other],
        n_tokens=sums[0].spread.n,
        n_fit_tokens=frames.n_tokens,
        n_problems=int(of.max()) + 1,
        level=inference.level,
        reading=READINGS,
        fvu=fvu,
        fvu_low=fvu_ends[0],
        fvu_high=fvu_ends[1],
        delta_fvu=fvu - fvu[0],
        delta_fvu_low=delta_ends[0],
        delta_fvu_high=delta_ends[1],
        l0=l0,
        l0_ratio=l0 / l0[0],
        dead_fraction=torch.tensor([float((t.active == 0).double().mean()) for t in sums]),
        ce=clean.sum(1) / n,
        ce_spliced=spliced.sum(1) / n,
        ce_zero=zero.sum(1) / n,
        ce_recovered=torch.tensor(saved, dtype=torch.float64),
        ce_recovered_low=kept_ends[0],
        ce_recovered_high=kept_ends[1],
        feature=torch.arange(sae.d_sae),
        correlation=torch.stack([total.correlation() for total in sums], dim=1),
        provenance=pair.provenance(
            seed=inference.seed,
            arguments={
                **told_of(sae),
                "own": own,
                "rows": digest_json(tokens.rows),
                "fit": digest_json([list(map(int, row)) for row in fit]),
                "problem": None if problem is None else digest_json(list(problem)),
                "level": inference.level,
                "n_resamples": inference.n_resamples,
            },
        ),
    )


class _Sums:
    """What is added up of one reading."""

    def __init__(self, sae: Sae, tokens: Rows) -> None:
        """Nothing yet."""
        self.spread, self.error, self.rows = Spread(sae.d_in), 0.0, Deviations(tokens)
        self.active = torch.zeros(sae.d_sae, dtype=torch.long)
        self.products = torch.zeros(5, sae.d_sae, dtype=torch.float64)

    def update(self, index: Tensor, x: Tensor, acts: Tensor, made: Tensor, own: Tensor) -> None:
        """Add tokens: activations, features, reconstruction, and the own model's features."""
        self.spread.update(x)
        self.error += float((wide(x).to(made.device) - wide(made)).square().sum())
        active = acts != 0
        self.rows.update(index, wide(x), wide(made), active.sum(1))
        self.active += active.sum(0).cpu()
        a, b = wide(acts), wide(own)
        parts = [part.sum(0) for part in (a, b, a * a, b * b, a * b)]
        self.products += torch.stack(parts).cpu()

    def correlation(self) -> Float[Tensor, " feature"]:
        """Pearson's correlation of the two models' features; equal ones give exactly 1."""
        a, b, aa, bb, ab = self.products
        n = self.spread.n
        own, other, joint = aa - a * a / n, bb - b * b / n, ab - a * b / n
        # Of a feature that never varies only rounding is left.
        varies = (own > 1e-9 * aa) & (other > 1e-9 * bb)
        return torch.where(varies, joint / (own * other).sqrt(), torch.nan)


def _entropies(
    pair: ModelPair,
    sae: Sae,
    tokens: Rows,
    own: On,
    other: On,
    maps: Sequence[Frame | None],
    max_tokens: int,
) -> tuple[Tensor, Tensor, Tensor, int]:
    """Cross-entropy untouched, spliced and with nothing, of each reading and row; tokens."""
    models = {"base": pair.base, "post": pair.post}

    def of(which: On, edits: Sequence[Edit]) -> Tensor:
        return entropy_by_row(
            models[which], tokens, edits, pad_id=pair.alignment.pad_id, max_tokens=max_tokens
        )[0]

    # The first token of a row is a sink that no SAE of text is trained on.
    where = window(1)
    plain = {which: of(which, []) for which in (own, other)}
    zero = {which: of(which, [Ablate(sae.site, where=where)]) for which in (own, other)}
    order = (own, other, other, other)
    spliced = [
        of(which, [Shift(sae.site, _Framed(sae, frame), where=where, width=sae.d_in)])
        for which, frame in zip(order, maps, strict=True)
    ]
    found = ([plain[which] for which in order], spliced, [zero[which] for which in order])
    clean, made, none = (torch.stack(values) for values in found)
    return clean, made, none, sum(len(row) - 1 for row in tokens.rows)


@dataclass(frozen=True, eq=False)
class _Framed:
    """The reconstruction in another frame in place of the activation."""

    sae: Sae
    frame: Frame | None

    def __call__(self, x: Float[Tensor, "token width"]) -> Float[Tensor, "token width"]:
        """The reconstruction's error, with its sign turned."""
        if self.frame is None:
            return self.sae.reconstruct(x) - x
        return self.frame.back(self.sae.reconstruct(self.frame.into(x))) - x
