"""Gates: does an SAE hold what a model has at a site, before anything is concluded from it?"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.edits import Ablate, Shift, window
from elicit.features.errors import FeatureError
from elicit.features.outliers import SplicedUpTo, usual_norm
from elicit.features.ratios import Deviations, Spread, ends, problem_numbers, shares
from elicit.features.reading import On, Rows, blocks, checked, rows_of, told_of, wide
from elicit.features.sae import Sae
from elicit.features.splicing import entropy_by_row, recovered
from elicit.pair import Bridge, ModelPair
from elicit.results import Result, digest_json
from elicit.runs import Execution
from elicit.stats import Inference


@dataclass(frozen=True, eq=False, kw_only=True)
class Fidelity(Result):
    """How well an SAE holds a model's activations, beside what its makers published."""

    sae: str
    """Name of the SAE."""
    site: str
    """Where it was read."""
    model: str
    """Model that was read."""
    n_tokens: int
    """Tokens read; first and special ones do not count."""
    n_outliers: int
    """Tokens left out besides, for their norm."""
    n_problems: int
    """Problems, the unit of every interval."""
    level: float
    """Coverage of every interval, each alone."""
    fvu: float
    """Σ‖x - x̂‖² / Σ‖x - x̄‖² with this model's own mean: 0 perfect, 1 no better than the mean."""
    fvu_low: float
    """Lower end; NaN of one problem."""
    fvu_high: float
    """Upper end."""
    l0: float
    """Mean active features a token."""
    l0_low: float
    """Lower end."""
    l0_high: float
    """Upper end."""
    ce: float
    """Cross-entropy of the texts, nats a token; NaN where nothing was put in, as all below."""
    ce_spliced: float
    """The same with the reconstruction in place of the activation, but for first tokens."""
    ce_zero: float
    """The same with nothing in its place."""
    ce_recovered: float
    """Share of what nothing costs that the reconstruction saves: 1 all. NaN: it costs nothing."""
    ce_recovered_low: float
    """Lower end."""
    ce_recovered_high: float
    """Upper end."""
    dead_fraction: float
    """Share of features that were active on none of these tokens."""
    published_fvu: float
    """What the makers say; NaN where they do not."""
    published_l0: float
    """What the makers say; NaN where they do not."""
    published_dead_fraction: float
    """What the makers say; NaN where they do not."""
    feature: Int[Tensor, " feature"]
    """Number of each feature."""
    density: Float[Tensor, " feature"]
    """Share of tokens at which each feature was active."""
    max_act: Float[Tensor, " feature"]
    """Largest activation of each feature; the unit in which strengths of steering are told."""

    def require(
        self, *, max_fvu: float = 0.5, l0_factor: float = 2.0, least_recovered: float = 0.5
    ) -> None:
        """Refuse to go on with an SAE that does not hold this model's activations.

        Args:
            max_fvu: Largest FVU that is let through.
            l0_factor: How many times more or fewer features than published may be active.
            least_recovered: Smallest share of cross-entropy recovered, where it was measured.

        Raises:
            FeatureError: The SAE fails one of the three.
        """
        if not self.fvu <= max_fvu:
            raise FeatureError(
                f"{self.sae} leaves {self.fvu:.3g} of the variance at {self.site} of {self.model} "
                f"unexplained and at most {max_fvu:g} is let through, so its features would stand "
                "for little of what the model does. Check hook point, model and processing, or "
                "pass a larger max_fvu."
            )
        ratio = self.l0 / self.published_l0 if self.published_l0 else float("nan")
        if ratio == ratio and not 1 / l0_factor <= ratio <= l0_factor:
            raise FeatureError(
                f"{self.sae} has {self.l0:.4g} active features a token on {self.model} and "
                f"{self.published_l0:.4g} were published, so it does not read what it was trained "
                "on. Check hook point, model and processing, or pass a larger l0_factor."
            )
        if self.ce_recovered < least_recovered:
            raise FeatureError(
                f"{self.sae} in place of {self.site} of {self.model} saves "
                f"{self.ce_recovered:.3g} of what leaving it out costs and at least "
                f"{least_recovered:g} is asked for, so what the model uses is not in its features. "
                "Pass another SAE, or a smaller least_recovered."
            )


def fidelity(
    pair: ModelPair,
    sae: Sae,
    rows: Sequence[Sequence[int]],
    *,
    on: On,
    problem: Sequence[str] | None = None,
    outliers: float | None = None,
    spliced: bool = True,
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> Fidelity:
    """How well an SAE holds one model's activations: FVU, L0, dead features, what splicing costs.

    Args:
        pair: Base and post.
        sae: What is tested.
        rows: Token ids of each row.
        on: Which model is read.
        problem: Problem of each row, the unit of intervals; None: every row is its own.
        outliers: Tokens of more than that many times the median norm are left out, and are left as
            they are where reconstructions are put in; None keeps all.
        spliced: Whether cross-entropies are measured too, with three passes more; not of an SAE
            that reads context, which cannot be put in.
        inference: Coverage and resamples of the intervals, and the seed.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        FeatureError: The SAE is of another width, site or model, is a transcoder, or there is
            nothing to read.
    """
    sae.check_reconstructs()
    model, tokens = checked(pair, sae, on), rows_of(pair, rows)
    of, pad_id = problem_numbers(problem, len(tokens.rows)), pair.alignment.pad_id
    counted, limit = tokens.counted, float("inf")
    if outliers is not None:
        counted, limit = usual_norm(
            model, sae.site, tokens, times=outliers, pad_id=pad_id, max_tokens=execution.max_tokens
        )
    spread, error, n_active = Spread(sae.d_in), 0.0, torch.zeros(sae.d_sae, dtype=torch.long)
    sums, max_act = Deviations(tokens), torch.zeros(sae.d_sae)
    found = blocks(
        model, sae, tokens, pad_id=pad_id, reconstruct=True, counted=counted, execution=execution
    )
    for block in found:
        assert block.made is not None
        spread.update(block.x)
        x, made = wide(block.x), wide(block.made)
        error += float((x.to(made.device) - made).square().sum())
        active = block.acts != 0
        n_active += active.sum(0).cpu()
        sums.update(block.index, x, made, active.sum(1))
        max_act = torch.maximum(max_act, block.acts.amax(0).float().cpu())
    said, nan = sae.published, float("nan")
    measured = {
        "fvu": shares(sums.error, sums.spread(), of),
        "l0": shares(sums.active, sums.n, of),
    }
    entropies = dict.fromkeys(("ce", "ce_spliced", "ce_zero", "ce_recovered"), nan)
    if spliced and not sae.reads_context:
        clean, made_in, zero, n = _entropies(
            model, sae, tokens, limit, pad_id, execution.max_tokens
        )
        entropies = {
            name: float(part.sum() / n.sum())
            for name, part in (("ce", clean), ("ce_spliced", made_in), ("ce_zero", zero))
        }
        entropies["ce_recovered"] = recovered(clean, made_in, zero)
        if entropies["ce_recovered"] == entropies["ce_recovered"]:
            measured["ce_recovered"] = shares(zero - made_in, zero - clean, of)
    told = {name: ends(values, inference=inference) for name, values in measured.items()}
    return Fidelity(
        sae=sae.name,
        site=str(sae.site),
        model=pair.base_name if on == "base" else pair.post_name,
        n_tokens=spread.n,
        n_outliers=int((tokens.counted & ~counted).sum()),
        n_problems=int(of.max()) + 1,
        level=inference.level,
        fvu=error / spread.total if spread.total else nan,
        fvu_low=told["fvu"][0],
        fvu_high=told["fvu"][1],
        l0=float(n_active.sum()) / spread.n,
        l0_low=told["l0"][0],
        l0_high=told["l0"][1],
        **entropies,
        ce_recovered_low=told.get("ce_recovered", (nan, nan))[0],
        ce_recovered_high=told.get("ce_recovered", (nan, nan))[1],
        dead_fraction=float((n_active == 0).double().mean()),
        published_fvu=nan if said.fvu is None else said.fvu,
        published_l0=nan if said.l0 is None else said.l0,
        published_dead_fraction=nan if said.dead_fraction is None else said.dead_fraction,
        feature=torch.arange(sae.d_sae),
        density=n_active.double() / spread.n,
        max_act=max_act,
        provenance=pair.provenance(
            seed=inference.seed,
            arguments={
                **told_of(sae),
                "on": on,
                "rows": digest_json(tokens.rows),
                "problem": None if problem is None else digest_json(list(problem)),
                "outliers": outliers,
                "spliced": spliced,
                "level": inference.level,
                "n_resamples": inference.n_resamples,
            },
        ),
    )


def _entropies(
    model: Bridge, sae: Sae, tokens: Rows, limit: float, pad_id: int, max_tokens: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Cross-entropy of each row untouched, spliced and with nothing; tokens of each row."""
    # The first token of a row is a sink that no SAE of text is trained on.
    where = window(1)
    splice = Shift(sae.site, SplicedUpTo(sae, limit), where=where, width=sae.d_in)
    found = [
        entropy_by_row(model, tokens, edits, pad_id=pad_id, max_tokens=max_tokens)
        for edits in ([], [splice], [Ablate(sae.site, where=where)])
    ]
    return found[0][0], found[1][0], found[2][0], found[0][1]
