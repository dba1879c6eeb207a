"""Where post-training moved the model's predictions: on how many tokens, and on which."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from elicit.pair import Alignment, ModelPair
from elicit.results import Estimate, Result
from elicit.stats import Inference
from elicit.texts import token_texts
from elicit.traces._concentration import cumulative, ratio_of_sums
from elicit.traces.ledger import Ledger
from elicit.traces.measures import Metric
from elicit.traces.reading import Readings

FORK_SHARE = 0.2
"""Share of tokens, those of highest base entropy, that are called forks."""
SHIFTED = 0.1
"""Jensen-Shannon divergence from which on a token counts as shifted, nats."""
N_FORKS = 50
"""Tokens of largest divergence that are listed for each source of texts."""
PARTS = ("all", "without the first", "without the ends")
"""Which tokens of a text are counted."""
DIRECTIONS = ("base‖post", "post‖base")
"""KL(base‖post) is large where post no longer does what base might; KL(post‖base) where post does
what base would not."""
_METRICS = (
    *(
        Metric(
            name=f"KL({direction}) on forks",
            unit="share",
            meaning=f"that share of KL({direction}) falls on the fifth of all tokens at which base "
            "is least sure; a fifth is chance",
        )
        for direction in DIRECTIONS
    ),
    *(
        Metric(
            name=f"KL({direction}) on first tokens",
            unit="share",
            meaning=f"that share of KL({direction}) falls on the first token of texts",
        )
        for direction in DIRECTIONS
    ),
    *(
        Metric(
            name=f"KL({direction})",
            unit="nats",
            meaning="the models' predictions are that far apart, by token",
        )
        for direction in DIRECTIONS
    ),
    Metric(
        name="shifted",
        unit="share",
        meaning="that share of tokens has a Jensen-Shannon divergence above 0.1 nats",
    ),
    Metric(
        name="ranked first by base",
        unit="share",
        meaning="base finds that share of the written tokens the most probable ones",
    ),
    Metric(
        name="rank shift",
        unit="ranks",
        meaning="base ranks the written tokens that much lower than post does",
    ),
    Metric(
        name="log-probability gain",
        unit="nats",
        meaning="post finds the written tokens that much more probable than base does",
    ),
    Metric(
        name="prompt loss",
        unit="nats",
        meaning="post finds the tokens of prompts that much less probable than base does: damage "
        "that no text shows",
    ),
)


@dataclass(frozen=True, eq=False, kw_only=True)
class Shifts(Result):
    """Where post's predictions differ from base's along written thoughts.

    Both models read the same texts. Texts of one source are read as one set of tokens; intervals
    are over problems, the tokens that are forks held fixed.
    """

    source: tuple[str, ...]
    """Who wrote the texts: `given`, or `base` and `post`."""
    part: tuple[str, ...]
    """Which tokens are counted: all, or without the first one, or without the first and last."""
    metric: tuple[str, ...]
    """Names."""
    unit: tuple[str, ...]
    """Unit of each."""
    meaning: tuple[str, ...]
    """What a large value says."""
    estimate: Annotated[Estimate, "metric part source"]
    """Over all tokens of all texts; NaN where models do not differ at all, or it is not defined."""
    chance: Float[Tensor, "part source"]
    """Share of tokens that are forks: their share of KL if it were spread evenly."""
    cutoff: Float[Tensor, "part source"]
    """Least base entropy of a fork, nats."""
    direction: tuple[str, ...]
    """Of the divergence: KL(base‖post), KL(post‖base)."""
    lorenz: Float[Tensor, "direction part source percent"]
    """Share of the divergence in the tokens that have most of it, by their share of tokens."""
    lorenz_entropy: Float[Tensor, "direction part source percent"]
    """The same in the tokens of highest base entropy, which are not chosen by the outcome."""
    percent: Int[Tensor, " percent"]
    """Tokens counted, in percent of all."""
    n_tokens: Int[Tensor, "part source"]
    """Tokens counted."""
    n_infinite: Int[Tensor, " source"]
    """Tokens at which one model rules out what the other may write: their KL is infinite and is
    left out."""
    fork_source: tuple[str, ...]
    """Source of each token that is listed."""
    fork_problem: tuple[str, ...]
    """Its problem."""
    fork_at: Int[Tensor, " fork"]
    """Tokens of the text before it."""
    fork_text: tuple[str, ...]
    """The written token. Text of a model or of a file: never trusted."""
    fork_jsd: Float[Tensor, " fork"]
    """Divergence there, nats, the largest first within each source."""
    fork_entropy: Float[Tensor, " fork"]
    """Base's entropy there, nats."""
    fork_rank: Int[Tensor, " fork"]
    """Tokens that base finds more probable than the written one."""

    def of(self, metric: str, part: str = "all") -> Annotated[Estimate, "source"]:
        """Estimates of one metric, by source.

        Args:
            metric: Its name.
            part: Which tokens are counted.
        """
        return self.estimate[self.metric.index(metric), self.part.index(part)]


def shifts(pair: ModelPair, readings: Readings, *, inference: Inference = Inference()) -> Shifts:
    """Where post-training moved predictions, arithmetic on ledgers.

    Args:
        pair: The two models, for token texts and provenance.
        readings: Base's reading and post's; where each reads its own texts, both texts count as
            sources.
        inference: Coverage, resamples and seed.

    Source: forks as in Wang et al. 2025 (arXiv:2506.01939), with their fifth; divergence by token
        as in Meng et al. 2026 (arXiv:2603.22446); the signed gain as in arXiv:2603.22117. Shares
        with and without the ends, because format tokens there can hold most of the divergence.
    """
    ledgers = [readings.post.ledger]
    if not readings.same_text:
        ledgers = [reading.ledger for reading in readings.both]
    parts = [[_of_part(each, part, inference) for each in ledgers] for part in PARTS]

    def table(name: str) -> Tensor:
        return torch.stack([torch.stack([each[name] for each in row]) for row in parts])

    ends = table("estimate").movedim(-1, 0).movedim(-1, 1)
    return Shifts(
        provenance=pair.provenance(
            inference.seed,
            {"question": "shifts", "level": inference.level, "forks": FORK_SHARE},
            task_digests={r.model: r.thoughts.digest for r in readings.both},
        ),
        source=tuple(each.source for each in ledgers),
        part=PARTS,
        metric=tuple(metric.name for metric in _METRICS),
        unit=tuple(metric.unit for metric in _METRICS),
        meaning=tuple(metric.meaning for metric in _METRICS),
        estimate=Estimate.of(ends.contiguous()),
        chance=table("chance"),
        cutoff=table("cutoff"),
        direction=DIRECTIONS,
        lorenz=table("lorenz").movedim(2, 0).contiguous(),
        lorenz_entropy=table("lorenz_entropy").movedim(2, 0).contiguous(),
        percent=torch.arange(101),
        n_tokens=table("n_tokens"),
        n_infinite=torch.tensor([int((~_finite(each)).sum()) for each in ledgers]),
        **_forks(pair.alignment, ledgers),
    )


def _of_part(ledger: Ledger, part: str, inference: Inference) -> dict[str, Tensor]:
    """All numbers of one set of tokens; `estimate` is `[metric 3]`."""
    kept = _kept(ledger, part)
    thought = ledger.token_thought[kept]
    both = torch.stack([ledger.kl_base_post, ledger.kl_post_base]).double()
    both = torch.where(_finite(ledger), both, 0.0)[:, kept]
    entropy = ledger.entropy[0, kept].double()
    jsd = ledger.jsd[kept].double()
    rank = ledger.rank[:, kept].double()
    log_prob = ledger.log_prob[:, kept].double()
    n, every = len(entropy), torch.ones(len(entropy), dtype=torch.float64)
    order = entropy.argsort(descending=True, stable=True)
    n_forks = max(1, round(FORK_SHARE * n)) if n else 0
    forks = torch.zeros_like(every)
    forks[order[:n_forks]] = 1.0
    first = torch.zeros_like(every)
    first[_is_first(thought)] = 1.0
    columns = {
        **{f"KL({d}) on forks": (kl * forks, kl) for d, kl in zip(DIRECTIONS, both, strict=True)},
        **{f"KL({d})": (kl, every) for d, kl in zip(DIRECTIONS, both, strict=True)},
        "shifted": ((jsd > SHIFTED).double(), every),
        "ranked first by base": ((rank[0] == 0).double(), every),
        "rank shift": (rank[0] - rank[1], every),
        "log-probability gain": (log_prob[1] - log_prob[0], every),
    }
    ends = {name: ratio_of_sums(*each, thought, inference) for name, each in columns.items()}
    missing = torch.full((3,), torch.nan, dtype=torch.float64)
    if part == "all":
        for name, kl in zip(DIRECTIONS, both, strict=True):
            ends[f"KL({name}) on first tokens"] = ratio_of_sums(kl * first, kl, thought, inference)
        lost = ledger.prompt_log_prob[0] - ledger.prompt_log_prob[1]
        n_read = (ledger.n_prompt - 1).double()
        ends["prompt loss"] = ratio_of_sums(lost, n_read, torch.arange(len(ledger)), inference)
    return {
        "estimate": torch.stack([ends.get(metric.name, missing) for metric in _METRICS]),
        "chance": torch.tensor(n_forks / n if n else torch.nan, dtype=torch.float64),
        "cutoff": entropy[order[n_forks - 1]] if n else missing[0],
        "lorenz": torch.stack(
            [cumulative(kl, kl.argsort(descending=True, stable=True)) for kl in both]
        ),
        "lorenz_entropy": torch.stack([cumulative(kl, order) for kl in both]),
        "n_tokens": torch.tensor(n),
    }


def _finite(ledger: Ledger) -> Bool[Tensor, " token"]:
    return ledger.kl_base_post.isfinite() & ledger.kl_post_base.isfinite()


def _is_first(thought: Int[Tensor, " token"]) -> Bool[Tensor, " token"]:
    """The first token of every text."""
    return torch.cat([thought.new_ones(1).bool(), thought[1:] != thought[:-1]])[: len(thought)]


def _kept(ledger: Ledger, part: str) -> Bool[Tensor, " token"]:
    thought = ledger.token_thought
    kept = torch.ones_like(thought, dtype=torch.bool)
    if part != "all":
        kept &= ~_is_first(thought)
    if part == "without the ends":
        kept &= ~_is_first(thought.flip(0)).flip(0)
    return kept


def _forks(alignment: Alignment, ledgers: Sequence[Ledger]) -> dict[str, Any]:
    """The tokens of largest divergence of each source; those of none are left out."""
    found: list[tuple[Ledger, int]] = []
    for ledger in ledgers:
        order = ledger.jsd.argsort(descending=True, stable=True)[:N_FORKS].tolist()
        found += [(ledger, token) for token in order if float(ledger.jsd[token]) > 0]
    texts = token_texts(alignment, [int(ledger.token_id[token]) for ledger, token in found])
    thought = [int(ledger.token_thought[token]) for ledger, token in found]
    return {
        "fork_source": tuple(ledger.source for ledger, _ in found),
        "fork_problem": tuple(
            ledger.problem[i] for (ledger, _), i in zip(found, thought, strict=True)
        ),
        "fork_at": torch.tensor(
            [
                token - ledger.tokens_of(i).start
                for (ledger, token), i in zip(found, thought, strict=True)
            ],
            dtype=torch.long,
        ),
        "fork_text": tuple(texts[int(ledger.token_id[token])] for ledger, token in found),
        "fork_jsd": torch.tensor([float(ledger.jsd[token]) for ledger, token in found]),
        "fork_entropy": torch.tensor([float(ledger.entropy[0, token]) for ledger, token in found]),
        "fork_rank": torch.tensor(
            [int(ledger.rank[0, token]) for ledger, token in found], dtype=torch.long
        ),
    }
