"""From the results of all runs to three answers and one sentence."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

from elicit.grafting import LayerRoles
from elicit.pair import ModelPair
from elicit.patching import PatchGrid
from elicit.results import Estimate, number
from elicit.revision import Settling
from elicit.stats import Inference
from elicit.traces import Dependence
from elicit.verdicts.audit._answer import Answered, likely_seen, not_asked, sentence
from elicit.verdicts.audit._existence import Gain, existence_answer
from elicit.verdicts.audit._layers import layers_answer
from elicit.verdicts.audit._trace import trace_answer
from elicit.verdicts.audit.result import (
    ASKED,
    QUESTIONS,
    Audit,
    NumberTold,
    RunTold,
    Tested,
)
from elicit.verdicts.ladder import Ladder
from elicit.verdicts.origin_result import Origin
from elicit.verdicts.scorecard import Scorecard


@dataclass(frozen=True, eq=False, kw_only=True)
class Findings:
    """What the runs of an audit found; None where one was not asked or failed."""

    roles: LayerRoles | None = None
    """Of every layer."""
    problems: str = "problems"
    """Name of the task that the question of existence is about."""
    ladder: Ladder | None = None
    """Whether the base's own direction elicits it."""
    origin: Origin | None = None
    """Whether a mechanism does."""
    card: Scorecard | None = None
    """Of written thoughts."""
    dependence: Dependence | None = None
    """What altered thoughts did."""
    grid: PatchGrid | None = None
    """Post's activations in base."""
    settled: Settling | None = None
    """Where predictions settle."""
    why: Mapping[str, str] = field(default_factory=dict)
    """Why a question could not be asked, by its name."""


def conclude(
    pair: ModelPair,
    findings: Findings,
    *,
    runs: Sequence[RunTold],
    numbers: Sequence[NumberTold],
    protocol: tuple[str, Sequence[Tested]] = ("", ()),
    left_out: Sequence[str] = (),
    inference: Inference = Inference(),
) -> Audit:
    """Three answers with their strength, the runs and their key figures.

    Args:
        pair: The two models.
        findings: What the runs found.
        runs: How each ended.
        numbers: Key figures, as their summaries have them.
        protocol: Digest of the protocol, empty without one, and its hypotheses.
        left_out: What the budget left out.
        inference: Coverage of the intervals.
    """
    roles, why = findings.roles, findings.why
    answers = (
        existence_answer(
            _gain(findings), findings.ladder, findings.origin, why=why.get("existence", "")
        ),
        not_asked(why.get("layers", "which layers changed was not asked"))
        if roles is None
        else layers_answer(roles, grid=findings.grid, settled=findings.settled),
        not_asked(why.get("trace", "whether the written reasoning decides was not asked"))
        if findings.card is None
        else trace_answer(findings.card, findings.dependence),
    )
    found, headline = _headline(pair, findings, answers)
    digest, tested = protocol
    primaries = {one.primary for one in tested}
    registered = torch.tensor([one.name in primaries for one in numbers], dtype=torch.bool)
    return Audit(
        headline=headline,
        found=found,
        question=QUESTIONS,
        asked=ASKED,
        **_columns(answers),  # pyright: ignore[reportArgumentType]
        n_layers=pair.n_layers,
        changed_layers=() if roles is None else roles.changed_layers,
        corrupted_layers=() if roles is None else roles.corrupted_layers,
        skill_layers=() if roles is None else roles.skill_layers,
        run=tuple(one.name for one in runs),
        run_asks=tuple(one.asks for one in runs),
        run_status=tuple(one.status for one in runs),
        run_note=tuple(one.note for one in runs),
        number=tuple(one.name for one in numbers),
        number_says=tuple(one.says for one in numbers),
        number_unit=tuple(one.unit for one in numbers),
        estimate=_estimates([one.estimate for one in numbers]),
        beside_name=tuple(one.beside_name for one in numbers),
        beside=_estimates([one.beside or {} for one in numbers]),
        registered=registered,
        protocol=digest,
        hypothesis=tuple(one.says for one in tested),
        primary=tuple(one.primary for one in tested),
        expected=tuple(one.expected for one in tested),
        outcome=tuple(one.outcome for one in tested),
        left_out=tuple(left_out),
        level=inference.level,
        provenance=pair.provenance(inference.seed, {"question": "audit"}),
    )


def _gain(findings: Findings) -> Gain | None:
    """What post gained on the problems, as the roles of layers have it."""
    roles = findings.roles
    if roles is None or findings.problems not in roles.task:
        return None
    at = roles.task.index(findings.problems)
    return Gain(
        role=roles.role[at], gap=roles.gap[at], n=int(roles.n_problems[at]), level=roles.level
    )


def _headline(pair: ModelPair, findings: Findings, answers: Sequence[Answered]) -> tuple[bool, str]:
    """Whether anything was found, and the first sentence."""
    if pair.identical:
        return False, (
            "Nothing was found, and nothing could be: base and post have the same weights, bit for "
            "bit, so every difference between them is exactly 0."
        )
    existence, layers, trace = answers
    clauses = [one.clause for one in (existence, layers, trace) if one.clause]
    # That reasoning is intact is no finding by itself.
    findings_ = [one for one in (existence, layers) if one.clause]
    if findings_ or (trace.clause and not trace.verdict.startswith("intact")):
        return True, sentence(f"{_gained(findings)}{'; '.join(clauses)}")
    return False, _nothing(findings, answers)


def _gained(findings: Findings) -> str:
    """What post gained on the problems, as the beginning of a sentence."""
    roles, gain = findings.roles, _gain(findings)
    if roles is None or gain is None or gain.role != "skill":
        return ""
    at = roles.task.index(findings.problems)
    base, post = (100 * each[at].item() for each in (roles.base_score, roles.post_score))
    if roles.unit[at] != "share right":
        return ""
    return f"Post is right on {post:.0f} % of the problems and base on {base:.0f} %: "


def _nothing(findings: Findings, answers: Sequence[Answered]) -> str:
    """That nothing was found, and how small an effect would have been seen."""
    seen = []
    if findings.roles is not None:
        roles = findings.roles
        for t, name in enumerate(roles.task):
            least = likely_seen(roles.gap[t], roles.level, int(roles.n_problems[t]))
            least = max(least, roles.margin)
            seen.append(f"a gap of {number(least, digits=2)} on {name}")
    trace = answers[2]
    if not math.isnan(trace.detectable):
        seen.append(
            f"a loss of {number(trace.detectable, digits=2)} in how far answers follow the written "
            "reasoning"
        )
    if not seen:
        return "Nothing was found, and no run says how small an effect would have been seen."
    told = seen[0] if len(seen) == 1 else f"{', '.join(seen[:-1])} or {seen[-1]}"
    return f"Nothing was found, where {told} would likely have been seen."


def _columns(answers: Sequence[Answered]) -> dict[str, object]:
    """Fields of the answers, one entry a question."""
    words = (
        *("verdict", "says", "strength", "rests_on", "effect_name", "control_name", "unit"),
        "detectable_of",
    )
    numbers = ("border", "detectable")
    return {
        **{name: tuple(getattr(one, name) for one in answers) for name in words},
        **{
            name: torch.tensor([getattr(one, name) for one in answers], dtype=torch.float64)
            for name in numbers
        },
        "effect": _stacked([one.effect for one in answers]),
        "control": _stacked([one.control for one in answers]),
    }


def _stacked(estimates: Sequence[Estimate]) -> Estimate:
    return Estimate.stack([one.map(lambda end: end.double().reshape(())) for one in estimates])


def _estimates(told: Sequence[Mapping[str, float | None]]) -> Estimate:
    """Numbers of summaries; None and what is missing become NaN."""
    rows = [
        [math.nan if one.get(end) is None else float(one[end] or 0.0) for end in _ENDS]
        for one in told
    ]
    return Estimate.of(torch.tensor(rows, dtype=torch.float64).reshape(-1, 3).T.contiguous())


_ENDS = ("value", "low", "high")
