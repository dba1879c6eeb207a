"""Fidelity gates: does an SAE reconstruct a model's activations well enough to be used?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.edits import Ablate, Shift, window
from elicit.features._cross_entropy import entropy_by_row, recovered
from elicit.features._metadata import disagreements
from elicit.features._outliers import SplicedUpTo, without_outliers
from elicit.features._ratios import Deviations, Spread, with_ends
from elicit.features._reading import Rows, blocks, check_sae, name_of, rows_of, sae_arguments, wide
from elicit.features.errors import FeatureError
from elicit.features.sae import Sae
from elicit.features.texts import TextRows, text_rows
from elicit.pair import ModelPair, Side
from elicit.results import Estimate, Result
from elicit.runs import Execution
from elicit.stats import Inference, linearised_ratio


@dataclass(frozen=True, eq=False, kw_only=True)
class Fidelity(Result):
    """Fidelity of an SAE on a model's activations, beside its published values."""

    sae: str
    """Name of the SAE."""
    site: str
    """Site that was read."""
    model: str
    """Model that was read."""
    n_tokens: int
    """Tokens read; first and special tokens do not count."""
    n_outliers: int
    """Further tokens excluded as outliers of norm."""
    n_problems: int
    """Problems, the unit of every interval."""
    level: float
    """Coverage of every interval, each alone."""
    fvu: Annotated[Estimate, ""]
    """Fraction of variance unexplained, Σ‖x - x̂‖² / Σ‖x - x̄‖² with this model's own mean: 0
    perfect, 1 no better than the mean."""
    l0: Annotated[Estimate, ""]
    """Mean number of active features per token."""
    ce: float
    """Cross-entropy of the texts, nats per token; NaN, as below, if splicing was not measured."""
    ce_spliced: float
    """The same with the reconstruction in place of the activation, except at first tokens."""
    ce_zero: float
    """The same with the activation set to zero."""
    ce_recovered: Annotated[Estimate, ""]
    """Share of the zero-ablation loss that the reconstruction recovers: 1 all. NaN: no loss."""
    dead_fraction: float
    """Share of features active on none of these tokens."""
    published_fvu: float
    """Published value; NaN if unknown."""
    published_l0: float
    """Published value; NaN if unknown."""
    published_dead_fraction: float
    """Published value; NaN if unknown."""
    feature: Int[Tensor, " feature"]
    """Index of each feature."""
    density: Float[Tensor, " feature"]
    """Share of tokens at which each feature was active."""
    max_act: Float[Tensor, " feature"]
    """Largest activation of each feature, the unit of steering strengths."""
    notes: tuple[str, ...] = ()
    """What the SAE's metadata says otherwise than its use here, a sentence each."""

    def failures(
        self, *, max_fvu: float = 0.5, l0_factor: float = 2.0, least_recovered: float = 0.5
    ) -> dict[str, str]:
        """Failed gates, by the option that sets the limit, with the reason.

        Args:
            max_fvu: Largest FVU that passes.
            l0_factor: Largest ratio between L0 and the published L0, either way.
            least_recovered: Smallest share of cross-entropy recovered, if measured.
        """
        fvu, l0, saved = (each.value.item() for each in (self.fvu, self.l0, self.ce_recovered))
        failed: dict[str, str] = {}
        if not fvu <= max_fvu:
            failed["max_fvu"] = (
                f"{self.sae} leaves a fraction {fvu:.3g} of the variance at {self.site} of "
                f"{self.model} unexplained, above the limit of {max_fvu:g}, so its features "
                "account for little of the activation."
            )
        ratio = l0 / self.published_l0 if self.published_l0 else float("nan")
        if ratio == ratio and not 1 / l0_factor <= ratio <= l0_factor:
            failed["l0_factor"] = (
                f"{self.sae} has {l0:.4g} active features per token on {self.model}, but "
                f"{self.published_l0:.4g} are published, so these are not the activations it was "
                "trained on."
            )
        if saved < least_recovered:
            failed["least_recovered"] = (
                f"{self.sae} in place of {self.site} of {self.model} recovers {saved:.3g} of the "
                f"zero-ablation loss, below the limit of {least_recovered:g}, so its features miss "
                "what the model uses."
            )
        return failed

    def require(
        self, *, max_fvu: float = 0.5, l0_factor: float = 2.0, least_recovered: float = 0.5
    ) -> None:
        """Raise if the SAE does not reconstruct this model's activations.

        Args:
            max_fvu: Largest FVU that passes.
            l0_factor: Largest ratio between L0 and the published L0, either way.
            least_recovered: Smallest share of cross-entropy recovered, if measured.

        Raises:
            FeatureError: The SAE fails a gate.
        """
        failed = self.failures(
            max_fvu=max_fvu, l0_factor=l0_factor, least_recovered=least_recovered
        )
        for limit, why in failed.items():
            change = "smaller" if limit == "least_recovered" else "larger"
            raise FeatureError(
                f"{why} Check hook point, model and processing, pass another SAE, or pass a "
                f"{change} {limit}."
            )


def fidelity(
    pair: ModelPair,
    sae: Sae,
    texts: TextRows | Sequence[Sequence[int]],
    *,
    model: str,
    outliers: float | None = None,
    spliced: bool = True,
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> Fidelity:
    """Fidelity of an SAE on one model: FVU, L0, dead features, cross-entropy recovered.

    Args:
        pair: Base and post.
        sae: SAE that is tested.
        texts: Token ids of each row, and their problems if rows share some.
        model: Which model is read, `base` or `post`.
        outliers: Tokens above this multiple of the median norm are excluded, and keep their
            activation where reconstructions are spliced in; None: all are kept.
        spliced: Whether to measure cross-entropies, in three more passes; not possible for an SAE
            that reads context.
        inference: Coverage and resamples of the intervals, and the seed.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        FeatureError: The SAE has another width, site or model, is a transcoder, or there is nothing
            to read.
    """
    sae.check_reconstructs()
    side, texts = check_sae(pair, sae, model), text_rows(texts)
    tokens, problem = rows_of(pair, texts.rows), texts.numbers
    counted, limit = tokens.counted, float("inf")
    if outliers is not None:
        counted, limit = without_outliers(
            side, sae.site, tokens, times=outliers, execution=execution
        )
    spread, error, n_active = Spread(sae.d_in), 0.0, torch.zeros(sae.d_sae, dtype=torch.long)
    sums, max_act = Deviations(tokens), torch.zeros(sae.d_sae)
    for block in blocks(side, sae, tokens, reconstruct=True, counted=counted, execution=execution):
        assert block.made is not None
        spread.update(block.x)
        x, made = wide(block.x), wide(block.made)
        error += float((x.to(made.device) - made).square().sum())
        active = block.acts != 0
        n_active += active.sum(0).cpu()
        sums.update(block.index, x, made, active.sum(1))
        max_act = torch.maximum(max_act, block.acts.amax(0).float().cpu())
    published, nan = sae.published, float("nan")
    entropies = dict.fromkeys(("ce", "ce_spliced", "ce_zero"), nan)
    ce_recovered = Estimate.missing()
    if spliced and not sae.reads_context:
        rows, n = _entropies(side, sae, tokens, limit, execution)
        clean, made_in, zero = rows
        entropies = {
            name: float(part.sum() / n.sum()) for name, part in zip(entropies, rows, strict=True)
        }
        saved = recovered(clean, made_in, zero)
        if saved == saved:
            by_problem = linearised_ratio(zero - made_in, zero - clean, problem)
            ce_recovered = with_ends(saved, by_problem, inference)
    return Fidelity(
        sae=sae.name,
        site=str(sae.site),
        model=name_of(pair, model),
        n_tokens=spread.n,
        n_outliers=int((tokens.counted & ~counted).sum()),
        n_problems=int(problem.max()) + 1,
        level=inference.level,
        fvu=with_ends(
            error / spread.total if spread.total else nan,
            linearised_ratio(sums.error, sums.spread(), problem),
            inference,
        ),
        l0=with_ends(
            float(n_active.sum()) / spread.n,
            linearised_ratio(sums.active, sums.n, problem),
            inference,
        ),
        **entropies,
        ce_recovered=ce_recovered,
        dead_fraction=float((n_active == 0).double().mean()),
        published_fvu=nan if published.fvu is None else published.fvu,
        published_l0=nan if published.l0 is None else published.l0,
        published_dead_fraction=nan if published.dead_fraction is None else published.dead_fraction,
        feature=torch.arange(sae.d_sae),
        density=n_active.double() / spread.n,
        max_act=max_act,
        notes=disagreements(pair, sae, longest=max(map(len, texts.rows))),
        provenance=pair.provenance(
            seed=inference.seed,
            arguments={
                **sae_arguments(sae),
                **texts.arguments,
                "model": model,
                "outliers": outliers,
                "spliced": spliced,
                "level": inference.level,
                "n_resamples": inference.n_resamples,
            },
        ),
    )


def _entropies(
    side: Side, sae: Sae, tokens: Rows, limit: float, execution: Execution
) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
    """Cross-entropy of each row without edits, spliced and zero-ablated; tokens of each row."""
    # The first token of a row is an attention sink, on which SAEs are not trained.
    where = window(1)
    splice = Shift(sae.site, SplicedUpTo(sae, limit), where=where, width=sae.d_in)
    clean, n = entropy_by_row(side, tokens, [], execution=execution)
    made_in, zero = (
        entropy_by_row(side, tokens, [edit], execution=execution)[0]
        for edit in (splice, Ablate(sae.site, where=where))
    )
    return (clean, made_in, zero), n
