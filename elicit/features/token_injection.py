"""Is a feature about reasoning, or about tokens? Inject its top tokens into direct answers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from elicit.features._inject import FORMS, Form, Gram, Injection, drawn_grams, inject, top_grams
from elicit.features._reading import Rows, check_sae, name_of, rows_of, sae_arguments, special_ids
from elicit.features._two_sample import two_sample
from elicit.features._words import words_of
from elicit.features.activations import top_activations
from elicit.features.errors import FeatureError
from elicit.features.sae import Sae
from elicit.pair import ModelPair
from elicit.results import Result, digest_json
from elicit.runs import Execution
from elicit.stats import holm


@dataclass(frozen=True, eq=False, kw_only=True)
class TokenInjection(Result):
    """Effect of a feature's top tokens in texts without reasoning; a rise rejects it."""

    sae: str
    """Name of the SAE."""
    site: str
    """Site that was read."""
    model: str
    """Model that was read."""
    n_texts: int
    """Texts without reasoning, the unit of every test."""
    feature: Int[Tensor, " feature"]
    """Index of each candidate."""
    verdict: tuple[str, ...]
    """Verdict: `token-driven`, `partial`, `weak` or `context-dependent`."""
    tokens: tuple[str, ...]
    """Top tokens of each candidate, as injected."""
    reasoning: Float[Tensor, " feature"]
    """Largest activation per text, mean over texts with reasoning."""
    plain: Float[Tensor, " feature"]
    """The same over texts without reasoning."""
    form: tuple[str, ...]
    """Form of injection."""
    injected: Float[Tensor, "feature form"]
    """Largest activation per text, mean over texts without reasoning with tokens injected."""
    transfer: Float[Tensor, "feature form"]
    """Rise by the tokens as a share of the rise by reasoning; NaN if reasoning causes none."""
    d: Float[Tensor, "feature form"]
    """Cohen's d of texts with tokens injected against the same texts unchanged."""
    p: Float[Tensor, "feature form"]
    """Two-sided Mann-Whitney p-value, Holm-adjusted over the forms of a candidate."""
    control_d: Float[Tensor, "feature form"]
    """Control: Cohen's d with as many tokens drawn from the texts themselves."""

    @property
    def rejected(self) -> tuple[int, ...]:
        """Candidates driven by tokens alone."""
        return tuple(self.feature[[v == "token-driven" for v in self.verdict]].tolist())


def token_injection(
    pair: ModelPair,
    sae: Sae,
    features: Sequence[int],
    *,
    reasoning: Sequence[Sequence[int]],
    plain: Sequence[Sequence[int]],
    model: str,
    injection: Injection = Injection(),
    execution: Execution = Execution(),
) -> TokenInjection:
    """Falsify candidates: do a feature's top tokens activate it without reasoning?

    The tokens are the ids with the largest mean activation in the reasoning texts; bigrams and
    trigrams are those around its largest activations. `context-dependent` leaves open whether other
    words would raise it.

    Args:
        pair: Base and post.
        sae: SAE of the features.
        features: Candidates.
        reasoning: Token ids of texts with reasoning, from which the tokens are taken.
        plain: Token ids of texts without reasoning; below 20 the test has little power.
        model: Which model is read, `base` or `post`.
        injection: Number of tokens, and the seed.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        FeatureError: The SAE has another width, site or model, a feature is out of range or never
            active in the reasoning texts, or there are too few texts.

    Source: GeorgeMLP/reasoning-probing, token injection, with Cohen's conventions; there a t-test,
        no adjustment over forms, and no comparison with the rise by reasoning. The control is ours.
    """
    side, subset = check_sae(pair, sae, model), tuple(int(i) for i in features)
    sae.check_features(subset)
    if len(plain) < 8:
        raise FeatureError(
            f"there are {len(plain)} texts without reasoning, but a test needs at least 8. Pass "
            "more texts."
        )
    texts, without = rows_of(pair, reasoning), rows_of(pair, plain)
    n = 8 * injection.n_tokens
    top = top_activations(side, sae, texts, subset, n=n, execution=execution)
    silent = [f for f, count in zip(subset, top.n_active.tolist(), strict=True) if not count]
    if silent:
        raise FeatureError(
            f"features {silent} are active in none of {len(texts.rows)} texts with reasoning, so "
            "they have no top tokens. Pass more texts, or leave these features out."
        )

    def row_max(rows: Rows, some: tuple[int, ...]) -> Float[Tensor, "row feature"]:
        return top_activations(side, sae, rows, some, n=1, execution=execution).row_max

    def maxima(pool: dict[Form, list[Gram]], some: tuple[int, ...]) -> Tensor:
        """Largest activation in each text with tokens injected."""
        rows: list[list[int]] = []
        for j, form in enumerate(FORMS):
            rng = np.random.default_rng([injection.seed, 2, j])
            rows += [
                inject(row, pool[form], form, special=special_ids(pair), rng=rng)
                for row in without.rows
            ]
        largest = row_max(rows_of(pair, rows), some)
        return rearrange(largest, "(form text) feature -> feature form text", form=len(FORMS))

    before = row_max(without, subset)
    pools = [top_grams(top, texts, i, injection) for i in range(len(subset))]
    after = torch.cat([maxima(pool, (f,)) for f, pool in zip(subset, pools, strict=True)])
    # The control's tokens belong to no feature, so one run serves all.
    control_after = maxima(drawn_grams(without, injection), subset)
    d, p, control = (torch.zeros(len(subset), len(FORMS), dtype=torch.float64) for _ in range(3))
    for i in range(len(subset)):
        for j in range(len(FORMS)):
            tested = two_sample(after[i, j][:, None], before[:, [i]])
            d[i, j], p[i, j] = tested.d[0], tested.p[0]
            control[i, j] = two_sample(control_after[i, j][:, None], before[:, [i]]).d[0]
        p[i] = torch.from_numpy(holm(p[i].numpy()))
    reached, started = top.row_max.double().mean(0), before.double().mean(0)
    injected = after.double().mean(-1)
    rise = torch.where(reached > started, reached - started, torch.nan)
    share = (injected - started[:, None]) / rise[:, None]
    return TokenInjection(
        sae=sae.name,
        site=str(sae.site),
        model=name_of(pair, model),
        n_texts=len(without.rows),
        feature=torch.tensor(subset),
        verdict=tuple(injection_verdict(*of) for of in zip(d, p, share, strict=True)),
        tokens=tuple(
            " ".join(words_of(side.alignment, [i for gram in pool["prepend"] for i in gram]))
            for pool in pools
        ),
        reasoning=reached,
        plain=started,
        form=FORMS,
        injected=injected,
        transfer=share,
        d=d,
        p=p,
        control_d=control,
        provenance=pair.provenance(
            seed=injection.seed,
            arguments={
                **sae_arguments(sae),
                "model": model,
                "features": list(subset),
                "reasoning": digest_json(texts.rows),
                "plain": digest_json(without.rows),
                "n_tokens": injection.n_tokens,
            },
        ),
    )


def injection_verdict(
    d: Float[Tensor, " form"],
    p: Float[Tensor, " form"],
    share: Float[Tensor, " form"] | None = None,
) -> str:
    """Verdict of token injection, from the strongest form.

    A feature almost never active without reasoning has hardly any spread there, so d is huge for
    any rise. The share separates token detectors from states that garbled texts occasionally
    cause.

    Args:
        d: Cohen's d of each form.
        p: Its p-value.
        share: Rise by tokens as a share of the rise by reasoning: a half makes a feature
            token-driven, a third partial; NaN, if reasoning causes no rise, counts as 1. None
            uses d alone, as the source does.

    Source: Cohen 1988: large 0.8, medium 0.5, small 0.2. The shares are ours.
    """
    shares = torch.ones_like(d) if share is None else share.nan_to_num(1.0)
    for name, size, level, least in (
        ("token-driven", 0.8, 0.01, 1 / 2),
        ("partial", 0.5, 0.01, 1 / 3),
        ("weak", 0.2, 0.05, -torch.inf),
    ):
        if bool(((d >= size) & (p < level) & (shares >= least)).any()):
            return name
    return "context-dependent"
