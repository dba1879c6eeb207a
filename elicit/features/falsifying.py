"""Is a feature about reasoning, or about a few tokens? Put the tokens where nobody reasons."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.features.errors import FeatureError
from elicit.features.injecting import FORMS, Gram, inject
from elicit.features.reading import On, Rows, checked, rows_of, told_of
from elicit.features.sae import Sae
from elicit.features.tops import Tops, find_tops
from elicit.features.twosample import two_sample
from elicit.features.words import words_of
from elicit.pair import ModelPair
from elicit.results import Result, digest_json
from elicit.runs import Execution
from elicit.stats import holm

_GRAM = {"bigram": 2, "trigram": 3}


@dataclass(frozen=True, eq=False, kw_only=True)
class TokenInjection(Result):
    """What a feature's favourite tokens do where nobody reasons: a rise rejects it."""

    sae: str
    """Name of the SAE."""
    site: str
    """Where it was read."""
    model: str
    """Model that was read."""
    n_texts: int
    """Texts without reasoning, the unit of every test."""
    feature: Int[Tensor, " feature"]
    """Number of each candidate."""
    verdict: tuple[str, ...]
    """Of each candidate: `token-driven`, `partial`, `weak` or `context-dependent`."""
    tokens: tuple[str, ...]
    """The tokens each candidate is most active on, as they were put in."""
    reasoning: Float[Tensor, " feature"]
    """Mean over texts with reasoning of the largest activation in each."""
    plain: Float[Tensor, " feature"]
    """The same over texts without."""
    form: tuple[str, ...]
    """How tokens were put in."""
    injected: Float[Tensor, "feature form"]
    """Mean over texts without reasoning, with tokens put in, of the largest activation in each."""
    transfer: Float[Tensor, "feature form"]
    """Rise by the tokens as a share of that by reasoning; NaN where reasoning raises nothing."""
    d: Float[Tensor, "feature form"]
    """Cohen's d of texts with tokens put in against the same texts without."""
    p: Float[Tensor, "feature form"]
    """Two-sided Mann-Whitney p-value, Holm-adjusted over the forms of a candidate."""
    control_d: Float[Tensor, "feature form"]
    """Control: Cohen's d where as many tokens drawn from the texts themselves were put in."""

    @property
    def rejected(self) -> tuple[int, ...]:
        """Candidates that tokens alone drive."""
        return tuple(
            int(i)
            for i, verdict in zip(self.feature, self.verdict, strict=True)
            if verdict == "token-driven"
        )


def token_injection(
    pair: ModelPair,
    sae: Sae,
    features: Sequence[int],
    *,
    reasoning: Sequence[Sequence[int]],
    plain: Sequence[Sequence[int]],
    on: On,
    n_tokens: int = 3,
    seed: int = 0,
    execution: Execution = Execution(),
) -> TokenInjection:
    """Falsify candidates: does a feature rise where its favourite tokens stand without reasoning?

    The tokens are the ids with the largest mean activation in the reasoning texts; bigrams and
    trigrams are those around its largest activations. What `context-dependent` leaves open is
    whether other words would raise it.

    Args:
        pair: Base and post.
        sae: Whose features.
        features: Candidates.
        reasoning: Token ids of texts with reasoning, in which the tokens are found.
        plain: Token ids of texts without; 20 or more, or little can be found.
        on: Which model is read.
        n_tokens: Tokens put into each text; one fewer of the bigrams and trigrams, at least one.
        seed: Seed of the places and of the control's tokens.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        FeatureError: The SAE is of another width, site or model, a feature is out of range or never
            active in the reasoning texts, or there are too few texts or tokens.

    Source: GeorgeMLP/reasoning-probing, token injection, with Cohen's conventions; there a t-test,
        no adjustment over forms, and no regard to how much of the rise by reasoning it is. The
        control is ours.
    """
    model, found = checked(pair, sae, on), tuple(int(i) for i in features)
    sae.check_features(found)
    if len(plain) < 8 or n_tokens < 1:
        raise FeatureError(
            f"there are {len(plain)} texts without reasoning and {n_tokens} tokens to put in, and "
            "a test needs 8 texts and a token at least. Pass more."
        )
    texts, without = rows_of(pair, reasoning), rows_of(pair, plain)
    n = 8 * n_tokens
    tops = find_tops(model, sae, texts, found, pair=pair, n=n, execution=execution)
    silent = [f for f, n in zip(found, tops.n_active.tolist(), strict=True) if not n]
    if silent:
        raise FeatureError(
            f"the features {silent} are active nowhere in {len(texts.rows)} texts with reasoning, "
            "so they have no tokens to put in. Pass more texts, or leave them out."
        )
    base = find_tops(model, sae, without, found, pair=pair, n=1, execution=execution).row_max
    special = frozenset(int(i) for i in getattr(pair.tokenizer, "all_special_ids", []))
    pools = [_pools(tops, texts, i, n_tokens) for i in range(len(found))]
    drawn = _controls(without, n_tokens, seed)
    maxima = _injected_maxima(
        model, sae, without, found, pools, drawn, special, seed, pair, execution
    )
    shape = (len(found), len(FORMS))
    d, p, control = (torch.zeros(shape, dtype=torch.float64) for _ in range(3))
    for i in range(len(found)):
        before = base[:, [i]]
        for j in range(len(FORMS)):
            tested = two_sample(maxima[0, i, j][:, None], before)
            d[i, j], p[i, j] = tested.d[0], tested.p[0]
            control[i, j] = two_sample(maxima[1, i, j][:, None], before).d[0]
        p[i] = torch.from_numpy(holm(p[i].numpy()))
    reached, started = tops.row_max.double().mean(0), base.double().mean(0)
    injected = maxima[0].double().mean(-1)
    rise = torch.where(reached > started, reached - started, torch.nan)
    share = (injected - started[:, None]) / rise[:, None]
    return TokenInjection(
        sae=sae.name,
        site=str(sae.site),
        model=pair.base_name if on == "base" else pair.post_name,
        n_texts=len(without.rows),
        feature=torch.tensor(found),
        verdict=tuple(injection_verdict(d[i], p[i], share[i]) for i in range(len(found))),
        tokens=tuple(
            " ".join(words_of(pair, [i for gram in pool["prepend"] for i in gram]))
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
            seed=seed,
            arguments={
                **told_of(sae),
                "on": on,
                "features": list(found),
                "reasoning": digest_json(texts.rows),
                "plain": digest_json(without.rows),
                "n_tokens": n_tokens,
            },
        ),
    )


def injection_verdict(
    d: Float[Tensor, " form"],
    p: Float[Tensor, " form"],
    share: Float[Tensor, " form"] | None = None,
) -> str:
    """What the strongest form says of a candidate.

    A feature that is nearly never active without reasoning has hardly any spread there, so that d
    is huge however little it rises. The share tells a reader of tokens from a state that garbled
    texts bring on now and then.

    Args:
        d: Cohen's d of each form.
        p: Its p-value.
        share: Rise by tokens as a share of that by reasoning, of which a half makes a feature
            token-driven and a third partial; NaN, where reasoning raises nothing, counts as all.
            None asks for sizes of d alone, as the source does.

    Source: Cohen 1988: large 0.8, medium 0.5, small 0.2. The shares are ours.
    """
    told = torch.ones_like(d) if share is None else share.nan_to_num(1.0)
    for name, size, level, least in (
        ("token-driven", 0.8, 0.01, 1 / 2),
        ("partial", 0.5, 0.01, 1 / 3),
        ("weak", 0.2, 0.05, -torch.inf),
    ):
        if bool(((d >= size) & (p < level) & (told >= least)).any()):
            return name
    return "context-dependent"


def _pools(tops: Tops, texts: Rows, i: int, n_tokens: int) -> dict[str, list[Gram]]:
    """What is put in for one feature, by form."""
    single: list[Gram] = [(int(t),) for t in tops.token[i].tolist() if t >= 0][:n_tokens]
    pools: dict[str, list[Gram]] = {form: single for form in FORMS if form not in _GRAM}
    for form, size in _GRAM.items():
        grams: list[Gram] = []
        for value, place in zip(tops.value[i].tolist(), tops.index[i].tolist(), strict=True):
            row = texts.rows[int(texts.row[place])]
            pos = int(texts.pos[place])
            gram = tuple(row[pos - 1 : pos - 1 + size])
            if value > 0 and gram not in grams:
                grams.append(gram)
        pools[form] = grams[: max(n_tokens - 1, 1)]
    return pools


def _controls(without: Rows, n_tokens: int, seed: int) -> dict[str, list[Gram]]:
    """As many tokens and runs, drawn from the texts without reasoning."""
    rng = np.random.default_rng([seed, 1])
    counted = without.counted.nonzero()[:, 0].numpy()
    ids = without.ids.tolist()
    pools: dict[str, list[Gram]] = {}
    for form in FORMS:
        size = _GRAM.get(form, 1)
        n = n_tokens if size == 1 else max(n_tokens - 1, 1)
        pools[form] = [tuple(ids[int(i)] for i in rng.choice(counted, size)) for _ in range(n)]
    return pools


def _injected_maxima(
    model: Any,
    sae: Sae,
    without: Rows,
    features: tuple[int, ...],
    pools: list[dict[str, list[Gram]]],
    drawn: dict[str, list[Gram]],
    special: frozenset[int],
    seed: int,
    pair: ModelPair,
    execution: Execution,
) -> Float[Tensor, "kind feature form text"]:
    """Largest activation in each text with tokens put in: a feature's own, then the control's."""
    n_texts = len(without.rows)
    found = torch.zeros(2, len(features), len(FORMS), n_texts)

    def of(pool: dict[str, list[Gram]], some: tuple[int, ...]) -> Tensor:
        rows: list[list[int]] = []
        for j, form in enumerate(FORMS):
            rng = np.random.default_rng([seed, 2, j])
            rows += [
                inject(row, pool[form], form, special=special, rng=rng) for row in without.rows
            ]
        texts = rows_of(pair, rows)
        tops = find_tops(model, sae, texts, some, pair=pair, n=1, execution=execution)
        return tops.row_max.T.reshape(len(some), len(FORMS), n_texts)

    for i, pool in enumerate(pools):
        found[0, i] = of(pool, (features[i],))[0]
    # The control's tokens are of no feature, so one run serves all.
    found[1] = of(drawn, features)
    return found
