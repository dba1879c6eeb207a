"""Does a feature come back where its text is written again, or was it bound to what was drawn?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.features.again import Counted, tell
from elicit.features.errors import FeatureError
from elicit.features.places import find_places
from elicit.features.ratios import problem_numbers
from elicit.features.reading import On, Rows, checked, rows_of, told_of
from elicit.features.rewriting import Rewriting
from elicit.features.sae import Sae
from elicit.pair import ModelPair
from elicit.results import Result, digest_json
from elicit.runs import Execution
from elicit.stats import Inference

ARMS = ("own places", "random places", "matched features")


@dataclass(frozen=True, eq=False, kw_only=True)
class Regeneration(Result):
    """How often features are active again where their texts are cut before them and rewritten."""

    sae: str
    """Name of the SAE."""
    site: str
    """Where it was read."""
    model: str
    """Model that goes on with the texts and is read."""
    n_samples: int
    """Continuations of each place."""
    window: int
    """Tokens of each continuation, at most."""
    temperature: float
    """At which they were drawn."""
    least: float
    """Rate that a stable feature must clearly exceed."""
    level: float
    """Coverage of every interval, each alone, over problems."""
    feature: Int[Tensor, " feature"]
    """Number of each candidate."""
    verdict: tuple[str, ...]
    """Of each: `stable`, `unstable`, `unclear`, or `nowhere active`."""
    threshold: Float[Tensor, " feature"]
    """Activation from which it counts as active again."""
    n_problems: Int[Tensor, " feature"]
    """Problems in whose texts it was active; each gives one place, its largest activation."""
    matched: tuple[str, ...]
    """Of each, the control's features: others that are active on about as many tokens."""
    arm: tuple[str, ...]
    """What is counted: the feature after a cut at its own places; the same after as many cuts at
    random places of the same texts; features of like rate after the cuts at its own places."""
    again: Float[Tensor, "feature arm"]
    """Share of continuations with an activation above the threshold."""
    again_low: Float[Tensor, "feature arm"]
    """Lower end."""
    again_high: Float[Tensor, "feature arm"]
    """Upper end."""
    excess: Float[Tensor, "feature arm"]
    """Own places minus this arm, paired by problem."""
    excess_low: Float[Tensor, "feature arm"]
    """Lower end."""
    excess_high: Float[Tensor, "feature arm"]
    """Upper end."""
    token_again: Float[Tensor, "feature arm"]
    """Share of continuations that hold the token which was cut off; NaN of matched features."""
    shown_again: Float[Tensor, "feature arm"]
    """Share of continuations that show the behaviour; NaN of matched features, or if not asked."""
    of: Int[Tensor, " place"]
    """Candidate of each place."""
    row: Int[Tensor, " place"]
    """Row of the text."""
    pos: Int[Tensor, " place"]
    """Token before which it was cut."""
    rate: Float[Tensor, " place"]
    """Share of its continuations in which the feature was active again."""

    @property
    def stable(self) -> tuple[int, ...]:
        """Candidates that come back."""
        return tuple(
            int(i)
            for i, verdict in zip(self.feature, self.verdict, strict=True)
            if verdict == "stable"
        )


def regeneration(
    pair: ModelPair,
    sae: Sae,
    features: Sequence[int],
    rows: Sequence[Sequence[int]],
    *,
    on: On,
    stop_ids: Sequence[int],
    problem: Sequence[str] | None = None,
    begins: Sequence[int] | None = None,
    shown: Callable[[str], bool] | None = None,
    n_places: int = 16,
    n_samples: int = 8,
    window: int = 8,
    temperature: float = 1.0,
    share: float = 0.5,
    least: float = 0.5,
    n_matched: int = 8,
    inference: Inference = Inference(),
    batch_size: int = 64,
    execution: Execution = Execution(),
) -> Regeneration:
    """Filter candidates by whether the model goes there again: cut before them, and write anew.

    A feature that stands for a state comes back, for what came before fixes it; one that stands
    for a token that happened to be drawn does not.

    Args:
        pair: Base and post.
        sae: Whose features.
        features: Candidates.
        rows: Token ids of texts, best of the model's own.
        on: Which model goes on with them and is read.
        stop_ids: Tokens that end a text.
        problem: Problem of each row, the unit of intervals; None: every row is its own.
        begins: First place of each row that may be cut, after what was given to the model; None
            is 1 everywhere.
        shown: Whether a continuation shows the behaviour, if that is to be counted too.
        n_places: Problems a candidate, at most; those with its largest activations.
        n_samples: Continuations a place.
        window: Tokens of each.
        temperature: Above 0: greedy continuations would all be equal.
        share: A feature counts as active again from this share of its mean activation at its own
            places on, and places have at least this share of its largest.
        least: Rate that a stable feature must clearly exceed, and an unstable one clearly miss.
        n_matched: Other features of about the same rate, whose mean is a control.
        inference: Coverage and resamples of the intervals, and the seed.
        batch_size: Continuations written at once; they do not depend on it beyond rounding.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        FeatureError: The SAE is of another width, site or model, a feature is out of range, no
            place may be cut, or an option lies outside what it can be.

    Source: resampling each prefix, as arXiv:2604.02113 does for behaviours located by keywords, of
        which most do not reproduce; here for features, with controls.
    """
    model, tokens = checked(pair, sae, on), rows_of(pair, rows)
    wanted = tuple(int(i) for i in features)
    sae.check_features(wanted)
    _check(
        {"n_places": n_places, "n_samples": n_samples, "window": window, "n_matched": n_matched},
        temperature,
        {"share": share, "least": least},
    )
    of_problem = problem_numbers(problem, len(tokens.rows))
    _restrict(tokens, begins)
    places = find_places(
        model,
        sae,
        tokens,
        wanted,
        of_problem,
        pair=pair,
        n_places=n_places,
        n_matched=n_matched,
        share=share,
        seed=inference.seed,
        execution=execution,
    )
    rewriting = Rewriting(
        pair=pair,
        model=model,
        n_samples=n_samples,
        window=window,
        temperature=temperature,
        stop_ids=tuple(stop_ids),
        seed=inference.seed,
        batch_size=batch_size,
        max_tokens=execution.max_tokens,
        cells=execution.checkpoint,
        progress=execution.progress,
    )
    counted = Counted(rewriting, sae, tokens, places, shown)
    told = [tell(counted, i, least=least, inference=inference) for i in range(len(wanted))]
    flat = [(f, *cut) for f, own in zip(wanted, places.own, strict=True) for cut in own]
    return Regeneration(
        sae=sae.name,
        site=str(sae.site),
        model=pair.base_name if on == "base" else pair.post_name,
        n_samples=n_samples,
        window=window,
        temperature=temperature,
        least=least,
        level=inference.level,
        feature=torch.tensor(wanted),
        verdict=tuple(one.verdict for one in told),
        threshold=places.threshold[: len(wanted)],
        n_problems=torch.tensor([len(own) for own in places.own]),
        matched=tuple(" ".join(map(str, some)) for some in places.matched),
        arm=ARMS,
        again=torch.stack([one.again[0] for one in told]),
        again_low=torch.stack([one.again[1] for one in told]),
        again_high=torch.stack([one.again[2] for one in told]),
        excess=torch.stack([one.excess[0] for one in told]),
        excess_low=torch.stack([one.excess[1] for one in told]),
        excess_high=torch.stack([one.excess[2] for one in told]),
        token_again=torch.stack([one.token for one in told]),
        shown_again=torch.stack([one.shown for one in told]),
        of=torch.tensor([f for f, _, _ in flat], dtype=torch.long),
        row=torch.tensor([row for _, row, _ in flat], dtype=torch.long),
        pos=torch.tensor([pos for _, _, pos in flat], dtype=torch.long),
        rate=torch.tensor([r for one in told for r in one.rates], dtype=torch.float64),
        provenance=pair.provenance(
            seed=inference.seed,
            arguments={
                **told_of(sae),
                "on": on,
                "features": list(wanted),
                "rows": digest_json(tokens.rows),
                "problem": None if problem is None else digest_json(list(problem)),
                "begins": None if begins is None else digest_json(list(map(int, begins))),
                "stop_ids": list(map(int, stop_ids)),
                "n_places": n_places,
                "n_samples": n_samples,
                "window": window,
                "temperature": temperature,
                "share": share,
                "least": least,
                "n_matched": n_matched,
                "level": inference.level,
                "n_resamples": inference.n_resamples,
            },
        ),
    )


def _restrict(tokens: Rows, begins: Sequence[int] | None) -> None:
    """Let only those tokens count that may be cut off and written again."""
    if begins is None:
        return
    if len(begins) != len(tokens.rows) or min(begins, default=1) < 1:
        raise FeatureError(
            f"begins has {len(begins)} places, the least {min(begins, default=1)}, and there are "
            f"{len(tokens.rows)} rows, of which each keeps its first token at least. Pass one "
            "place of 1 or more for every row."
        )
    tokens.counted &= tokens.pos >= torch.tensor([int(i) for i in begins])[tokens.row]
    if not bool(tokens.counted.any()):
        raise FeatureError(
            "no token of any row stands at or after the place where it begins, so there is nothing "
            "to write again. Pass rows with the text after what was given."
        )


def _check(counts: dict[str, int], temperature: float, shares: dict[str, float]) -> None:
    """Refuse options from which nothing would follow."""
    for name, value in counts.items():
        if value < 1:
            raise FeatureError(f"{name} is {value}, so nothing could be counted. Pass 1 or more.")
    if not temperature > 0:
        raise FeatureError(
            f"temperature is {temperature}, where all continuations of a place are equal, so that "
            "many would count as many and be one. Pass a temperature above 0."
        )
    for name, value in shares.items():
        if not 0 < value < 1:
            raise FeatureError(
                f"{name} is {value}, and it is a share that is to be exceeded or missed. Pass a "
                "number between 0 and 1."
            )
