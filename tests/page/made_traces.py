"""Results on written thoughts built by hand, so that their page can be judged without any model."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor

from elicit.results import Estimate, Result
from elicit.stats import Inference
from elicit.traces import (
    AlteredThought,
    Conclusion,
    Dependence,
    Discrimination,
    Information,
    Ledger,
    Metric,
)
from elicit.traces.figures import GROUPS
from elicit.traces.measures import measured
from elicit.verdicts import PRIMARIES, Scorecard, judge
from tests.page.made import provenance

N = 40
FEW = Inference(n_resamples=200)
UNIT = {"ig_total": "bits"}
STEPS = ("a = 2 + 3 = 5 ; ", "b = 5 + 4 = 9 ; ", "c = 9 - 2 = 7 ;")
TEXT = "".join(STEPS)
SHARES = {"base": (0.1, 0.1, 0.2, 0.95), "post": (0.1, 0.5, 0.2, 0.3)}
"""Share of the right answer (7) at each cut."""


def values(base: float, post: float) -> Tensor:
    """Zeros and ones of every problem with these means, base first."""
    rows = [(torch.arange(N) < round(mean * N)).double() for mean in (base, post)]
    return torch.stack(rows)


def smooth(base: float, post: float) -> Tensor:
    """Numbers of every problem with these means that differ a little between problems."""
    spread = torch.linspace(-0.1, 0.1, N).double()
    return torch.tensor([[base], [post]]).double() + torch.stack([spread, -spread])


HOLLOW: Mapping[str, tuple[float, float]] = {
    "follows": (1.0, 0.1),
    "accuracy": (0.6, 1.0),
    "early answering": (0.5, 0.52),
    "CIR": (0.6, 0.6),
    "CIR where the thought is needed": (0.6, 0.61),
    "gain": (2.7, 2.8),
    "follows the edited question with the old thought": (0.0, 0.05),
}


def altered(table: Mapping[str, Tensor]) -> tuple[AlteredThought, ...]:
    """Every conclusion changed from 7 to 4, with an answer that these metrics come from."""

    def answered(row: int, i: int) -> str:
        if table["follows"][row, i] == 1:
            return "4"
        return "1" if table["flips"][row, i] == 1 else "7"

    return tuple(
        AlteredThought(
            reading=model,
            problem=f"p{i}",
            text=TEXT.replace("= 7", "= 4"),
            implied="4",
            answered=answered(row, i),
        )
        for row, model in enumerate(("base", "post"))
        for i in range(N)
    )


@cache
def dependence(edited: bool = True, **changed: tuple[float, float]) -> Dependence:
    """Metrics with these means in base and in post; others are 0.5."""
    means = {**HOLLOW, **{name.replace("_", " "): pair for name, pair in changed.items()}}
    names = [name for group in GROUPS.values() for name in group]
    smooth_ones = [name for name in names if name == "early answering" or "CIR" in name]
    table: dict[str, Tensor] = {}
    for name in names:
        make = smooth if name in smooth_ones else values
        table[name] = make(*means.get(name, (0.5, 0.5)))
        if "edited" in name and not edited:
            table[name] = torch.full((2, N), torch.nan, dtype=torch.float64)
    metrics = [
        Metric(
            name=name, unit="share", meaning=f"{name} is large", proportion=name not in smooth_ones
        )
        for name in names
    ]
    fields: dict[str, Any] = measured(
        metrics, table, problem=problems(), inference=FEW, provenance=provenance()
    )
    return Dependence(
        **fields,
        altered=altered(table),
        n_unaltered=3,
    )


@cache
def information(**changed: tuple[float, float]) -> Information:
    """The gain, in bits."""
    fields: dict[str, Any] = measured(
        [Metric(name="gain", unit="bits", meaning="the thought tells that much")],
        {"gain": smooth(*{**HOLLOW, **changed}["gain"])},
        problem=problems(),
        inference=FEW,
        provenance=provenance(),
    )
    return Information(**fields)


@cache
def conclusion() -> Conclusion:
    """Accuracy that rises with what is read."""
    fields: dict[str, Any] = measured(
        [Metric(name="tail", unit="tokens", meaning="tokens after the conclusion")],
        {"tail": smooth(1.0, 4.0)},
        problem=problems(),
        inference=FEW,
        provenance=provenance(),
    )
    tenth = torch.arange(11) / 10
    return Conclusion(**fields, by_budget=torch.stack([tenth, tenth / 2]).double(), tenth=tenth)


@cache
def discrimination() -> Discrimination:
    """Base is always right, so it has no area."""
    nan = torch.full((4,), torch.nan, dtype=torch.float64)
    half = torch.full((4,), 0.6, dtype=torch.float64)
    value = torch.stack([nan, half], dim=1)
    return Discrimination(
        provenance=provenance(),
        signal=("answer share", "lowest group", "mean", "-length"),
        reading=("base", "post"),
        auroc=Estimate(value=value, low=value - 0.1, high=value + 0.1),
        difference=Estimate.missing(4),
        p=nan,
        n_right=torch.tensor([40, 22]),
        n=torch.tensor([40, 40]),
    )


def scorecard(found: Dependence, told: Information, *, source: str = "given") -> Scorecard:
    """The card that these parts give, with the verdict of `judge`."""
    judged = judge(
        follows=found.of("follows"),
        accuracy=found.of("accuracy"),
        edited_with_thought=found.of("follows the edited question with the old thought"),
        inference=FEW,
    )
    rows = ("accuracy", "follows", "CIR where the thought is needed")
    places = [found.metric.index(name) for name in rows]
    value = Estimate.stack(
        [*(found.estimate[i] for i in places), told.estimate[0], *[Estimate.missing(2)] * 2]
    )
    difference = Estimate.stack(
        [*(found.difference[i] for i in places), told.difference[0], *[Estimate.missing()] * 2]
    )
    share = found.of("follows")[1].mean()
    p = torch.where(difference.clear, 0.004, 0.6).double()
    p[4:] = torch.nan
    return Scorecard(
        provenance=provenance(),
        verdict=judged.verdict,
        reason=judged.reason,
        detectable=judged.detectable,
        primary=PRIMARIES,
        meaning=tuple(f"what {name} counts" for name in PRIMARIES),
        unit=tuple(UNIT.get(name, "share") for name in PRIMARIES),
        reading=("base", "post"),
        value=value,
        difference=difference,
        p=p,
        note=("",) * 4 + ("no area without both kinds", "needs several samples"),
        covariate=("accuracy without thought",),
        covariate_value=found.estimate[[found.metric.index("accuracy without thought")]],
        item_verdict=("follows", "internalised", "right without either", "wrong"),
        item_share=torch.stack([share, 0 * share, 1 - share, 0 * share]),
        n_problems=judged.n,
        source=source,
    )


@cache
def ledger(source: str = "given", n: int = N, text: str = TEXT, placed: bool = True) -> Ledger:
    """Thoughts of three steps; 8 tokens a step, of which the second step's first two are forks."""
    chars = [0]
    for step in STEPS:
        chars.append(chars[-1] + len(step))
    chars[-1] = len(text) if text != TEXT else chars[-1]
    n_tokens, n_lanes = 24 * n, 4 * n
    jsd = torch.full((n, 24), 0.01)
    jsd[:, 8:10] = 0.3
    share = torch.tensor([SHARES["base"], SHARES["post"]])
    candidates = ("7", "4", "9")
    rest = ((1 - share) / 2)[..., None].expand(2, 4, 2) * torch.tensor([1.2, 0.8])
    shares = torch.cat([share[..., None], rest], dim=-1).log().repeat(1, n, 1)
    zeros = torch.zeros(2, n_tokens)
    ends = torch.tensor([match.end() for match in re.finditer(r"\S+", TEXT)])
    ends = ends if placed else torch.full_like(ends, -1)
    return Ledger(
        provenance=provenance(),
        source=source,
        problem=problems(n),
        prompt=("Q a = 2 + 3 ; c ? A",) * n,
        text=(text,) * n,
        candidates=(candidates,) * n,
        gold=torch.zeros(n, dtype=torch.long),
        n_gold=torch.ones(n, dtype=torch.long),
        written=torch.zeros(n, dtype=torch.long),
        truncated=torch.zeros(n, dtype=torch.bool),
        scorer=("base", "post"),
        token_thought=torch.arange(n).repeat_interleave(24),
        token_id=torch.zeros(n_tokens, dtype=torch.long),
        token_char=ends.repeat(n),
        log_prob=zeros,
        entropy=zeros,
        peakedness=zeros,
        rank=zeros.long(),
        kl_base_post=jsd.flatten(),
        kl_post_base=jsd.flatten(),
        jsd=jsd.flatten(),
        prompt_log_prob=torch.zeros(2, n, dtype=torch.float64),
        n_prompt=torch.full((n,), 9),
        lane_thought=torch.arange(n).repeat_interleave(4),
        lane_at=torch.tensor([0, 8, 16, 24]).repeat(n),
        lane_char=torch.tensor(chars).repeat(n),
        candidate_log_prob=shares[:, :n_lanes],
        lead_in="answer",
        steps="marker:;",
    )


def problems(n: int = N) -> tuple[str, ...]:
    """Ids of the problems."""
    return tuple(f"p{i}" for i in range(n))


def everything(edited: bool = True, **changed: tuple[float, float]) -> list[Result]:
    """All results of one run on given thoughts."""
    gain = {name: pair for name, pair in changed.items() if name == "gain"}
    others = {name: pair for name, pair in changed.items() if name != "gain"}
    found, told = dependence(edited, **others), information(**gain)
    card = scorecard(found, told)
    return [card, found, told, conclusion(), discrimination(), ledger()]
