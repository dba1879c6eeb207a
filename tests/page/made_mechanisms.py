"""Mechanisms, verdicts and what stands beside them, built by hand."""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch

from elicit.elicitation import (
    Disagreements,
    ForcedForm,
    Hybrid,
    Mechanism,
    Sees,
    Transplant,
    solved_overlap,
)
from elicit.elicitation.decoding import (
    BudgetForced,
    CotDecoding,
    DialCurve,
    PowerSample,
    Votes,
)
from elicit.elicitation.training import Collateral, ExampleRates, TrainingCourse
from elicit.representations import shift_agreement
from elicit.results import Estimate, Result
from elicit.stats import Inference, NoGapError, PassCurve, gap_share
from elicit.texts import TextBits
from elicit.verdicts import ArmOutcomes, Origin, Outcomes, judge_origin
from tests.page.made import HOSTILE, provenance

N = 40
BASE = torch.tensor([1.0] * 10 + [0.0] * 30, dtype=torch.float64)
POST = torch.tensor([1.0] * 39 + [0.0], dtype=torch.float64)


def share_of(right: torch.Tensor, post: torch.Tensor = POST) -> tuple[Estimate, str]:
    try:
        found = gap_share(right.numpy(), BASE.numpy(), post.numpy(), span=1.0)
    except NoGapError as error:
        return Estimate.missing(), str(error)
    return Estimate.of(torch.tensor([found.value, found.low, found.high]).double()), ""


def mechanism(
    name: str = "prompt",
    n_right: int = 38,
    *,
    sees: Sees = "nothing",
    control: bool = False,
    bits: float = 8.0,
    n_seeds: int = 1,
    post: torch.Tensor = POST,
    text: str = "so x = 3 + 4 = 7 ; answer 7 .",
    setting: str = "notes",
    sampled: float = 0.7,
    trained: int = 0,
) -> Mechanism:
    """A mechanism that is right on the first problems, with one seed less in each."""
    columns = [torch.arange(N) < max(n_right - 4 * seed, 0) for seed in range(n_seeds)]
    right = torch.stack(columns, dim=1).double()
    share, why = share_of(right.mean(1), post)
    drawn = right.mean(1) * sampled
    return Mechanism(
        provenance=provenance(),
        name=name,
        sees=sees,
        control=control,
        problem=tuple(f"p{i}" for i in range(N)),
        seed=tuple(range(n_seeds)),
        right=right,
        base=BASE,
        post=post,
        right_sampled=drawn,
        base_sampled=BASE * 0.6,
        post_sampled=post * 0.9,
        share=share,
        share_by_seed=Estimate.stack([share_of(one, post)[0] for one in right.unbind(1)]),
        share_sampled=share_of(drawn, post)[0],
        no_share=why,
        shown=right.mean(1),
        verified=right.mean(1),
        lenient=right.mean(1),
        chosen=right[:20].mean(1),
        bits=bits,
        n_trained=trained,
        n_tokens=12_345,
        flops=3.2e12,
        setting=setting,
        rejected=("quiz: 0.25",),
        text=(text,) * N,
    )


def mechanisms(*, hostile: bool = False) -> tuple[Mechanism, ...]:
    """What is told nothing, answers, a teacher, texts and weights; and controls of some."""
    bad = HOSTILE[0] if hostile else "notes"
    return (
        mechanism("prompt", setting=bad, text=HOSTILE[1] if hostile else "so y = 2 ; answer 2 ."),
        mechanism("prefix", 37, bits=3.1, setting="so"),
        mechanism("few-shot", 10, bits=181.0),
        mechanism("cot-decoding", 38, bits=0.0),
        mechanism("power", 9, bits=0.0),
        mechanism("diff-mean", 36, bits=16.5),
        mechanism("diff-mean, random directions", 30, bits=0.0, control=True, sampled=0.3),
        mechanism("rlvr", 38, sees="answers", bits=1_744.0, n_seeds=3, trained=158_000),
        mechanism("bias", 38, sees="answers", bits=2_566.0, n_seeds=3, trained=576),
        mechanism("random-reward", 8, bits=0.0, control=True, n_seeds=3),
        mechanism("sft-traces", 38, sees="teacher", bits=770.0, n_seeds=3, trained=158_000),
        mechanism("critique", 33, sees="teacher", bits=86_000.0),
        mechanism("hybrid", 38, sees="post texts", bits=16.0 * 1_100, trained=1_100),
        mechanism("hybrid, random vector", 10, sees="post texts", bits=17_600.0, control=True),
        mechanism("rerank", 38, sees="post weights", bits=2.5e6),
        mechanism("dial", 39, sees="post weights", bits=2.5e6),
    )


def verdict(
    found: Sequence[Mechanism],
    *,
    worked: tuple[str, ...] | None = None,
    carried: float = math.nan,
    hostile: bool = False,
) -> Origin:
    """The verdict by the rule on made mechanisms."""
    post = found[0].post
    read = Outcomes(
        base=BASE,
        post=post,
        post_shown=post,
        post_verified=post,
        arms=tuple(
            ArmOutcomes(
                name=one.name,
                sees=one.sees,
                control=one.control,
                bits=one.bits,
                chosen=one.chosen.mean().item(),
                n_choose=20,
                right=one.right.mean(1),
                shown=one.shown,
                verified=one.verified,
            )
            for one in found
        ),
        carried=carried,
        worked=worked,
    )
    judged = judge_origin(read, inference=Inference())
    best = judged.best
    none = Estimate.missing()
    known = worked is not None
    return Origin(
        provenance=provenance(),
        verdict=judged.verdict,
        reason=judged.reason,
        needed=judged.needed,
        bits=judged.bits,
        gap=judged.gap,
        best=found[best].name if best >= 0 else "",
        best_share=judged.share[best] if best >= 0 else none,
        route_shown=judged.route_shown,
        route_verified=judged.route_verified,
        arm=tuple(one.name for one in found),
        sees=tuple(one.sees for one in found),
        control=torch.tensor([one.control for one in found]),
        bits_told=torch.tensor([one.bits for one in found]).double(),
        n_trained=torch.tensor([one.n_trained for one in found]),
        n_tokens=torch.tensor([one.n_tokens for one in found]),
        flops=torch.tensor([one.flops for one in found]).double(),
        setting=tuple(one.setting for one in found),
        chosen=torch.tensor([one.chosen.mean().item() for one in found]).double(),
        accuracy=Estimate.stack(
            [Estimate.of(torch.full((3,), one.right.mean().item()).double()) for one in found]
        ),
        share=judged.share,
        joint=judged.joint,
        share_sampled=Estimate.stack([one.share_sampled for one in found]),
        lowest_seed=torch.stack([one.share_by_seed.value.min() for one in found]),
        highest_seed=torch.stack([one.share_by_seed.value.max() for one in found]),
        forced_share=judged.forced,
        carried=none if math.isnan(carried) else Estimate.of(torch.tensor([0.9, carried, 1.0])),
        carried_on="" if math.isnan(carried) else "organism:decoupled, logits",
        text_part=("whole text", "first tokens", "after them"),
        text_bits=Estimate.of(
            torch.tensor([[3.8, 2.9, 0.9], [3.0, 2.3, 0.4], [4.9, 3.6, 1.4]]).double()
        ),
        learning_bits=770.0,
        learning_ratio=math.nan,
        known_pair=("organism:rl", "organism:created") if known else (),
        known_truth=("elicited", "created") if known else (),
        known_verdict=("elicited", "not elicited") if known else (),
        known_passed=torch.tensor([True, True][: 2 * known], dtype=torch.bool),
        known_share=Estimate.of(
            torch.tensor([[1.0, 0.02], [0.9, -0.1], [1.1, 0.1]])[:, : 2 * known]
        ),
        pair=HOSTILE[3] if hostile else "organism:base → organism:rl",
        n_problems=N,
        n_choose=20,
        level=0.95,
    )


def around(*values: float, half: float = 0.06) -> Estimate:
    value = torch.tensor(values).double()
    return Estimate(value=value, low=value - half, high=value + half)


def beside(*, hostile: bool = False) -> tuple[Result, ...]:
    """Bits, forced form, transplant, overlap and agreement, where one mechanism moves nothing."""
    bad = HOSTILE[2] if hostile else "so"
    one = torch.ones(N).double()
    problem = tuple(f"p{i}" for i in range(N))
    bits = TextBits(
        part=("whole text", "first tokens", "after them"),
        bits=around(3.8, 2.9, 0.9),
        expected=around(3.9, 3.0, 0.9),
        per_token=around(0.16, 2.9, 0.04),
        agreement=around(0.96, 0.0, 0.98),
        n_tokens=torch.tensor([24.0, 1.0, 23.0]).double(),
        problem=problem[:2],
        text_problem=torch.tensor([0, 1]),
        text_bits=torch.rand(2, 3, dtype=torch.float64),
        text_expected=torch.rand(2, 3, dtype=torch.float64),
        n_first=1,
        truncated=0.02,
    )
    forced = ForcedForm(
        problem=problem,
        opener=(bad,) * N,
        n_forced=torch.ones(N, dtype=torch.long),
        right=one,
        base=BASE,
        post=POST,
        accuracy=around(0.25, 1.0, 0.97),
        text=("base", "base after post's first tokens", "post"),
        share=around(1.02)[0],
        no_share="",
        n_first=1,
        written=(bad,) * N,
    )
    moved = Transplant(
        host=bad,
        host_digest="d" * 64,
        what="logits",
        problem=problem,
        host_right=BASE,
        right=BASE,
        post_right=POST,
        accuracy=around(0.21, 0.28, 0.97),
        model=("host", "host with the difference", "post"),
        share=around(0.11)[0],
        no_share="",
        text=(bad,) * N,
    )
    overlap = solved_overlap(
        BASE,
        {one.name: one.right.mean(1) for one in mechanisms()[:4]},
        [i % 4 for i in range(N)],
    )
    draw = torch.Generator().manual_seed(0)
    shift = torch.randn(13, 1, 6, generator=draw).double()
    each = shift + 0.5 * torch.randn(3, 13, 8, 6, generator=draw).double()
    agreement = shift_agreement(
        {bad: each[0], "rlvr": each[1], "still": 0 * each[2]}, where="Along post’s texts"
    )
    return bits, forced, moved, overlap, agreement


def decoding(*, hostile: bool = False) -> tuple[Result, ...]:
    """A dial, branches, sharpened texts and votes."""
    bad = HOSTILE[4] if hostile else "answer 7 ."
    problem = tuple(f"p{i}" for i in range(3))
    alpha = torch.tensor([0.0, 0.25, 0.5, 1.0, 2.0]).double()
    dial = DialCurve(
        problem=problem,
        alpha=alpha,
        right=torch.rand(3, 5, dtype=torch.float64).round(),
        accuracy=around(0.25, 0.27, 0.98, 0.98, 0.7),
        same_as_post=torch.tensor([0.0, 0.02, 0.9, 1.0, 0.4]).double(),
        n_tokens=torch.tensor([3.0, 4.0, 24.0, 24.0, 31.0]).double(),
        threshold=0.5,
        text=(bad,) * 15,
        level=0.95,
    )
    k = torch.tensor([1, 2, 3, 4])
    curve = ("max", "sum", "oracle")
    values = torch.tensor([[0.25, 0.25, 0.25], [1, 1, 1], [0.66, 0.66, 1], [0.6, 0.63, 1]])
    branches = CotDecoding(
        problem=problem,
        k=k,
        pick=("max", "sum"),
        curve=curve,
        right=torch.rand(3, 4, 3, dtype=torch.float64).round(),
        accuracy=Estimate(
            value=values.double(), low=values.double() - 0.1, high=values.double() + 0.1
        ),
        chosen=torch.ones(3, 4, 2, dtype=torch.long),
        first_prob=torch.rand(3, 4, dtype=torch.float64),
        confidence=torch.rand(3, 4, dtype=torch.float64),
        branch_right=torch.ones(3, 4, dtype=torch.bool),
        n_tokens=torch.full((3, 4), 20),
        text=(bad,) * 12,
        min_first=0.01,
        target="post",
        target_rank=torch.tensor([2, 2, 2]),
        target_accuracy=0.98,
        k50=torch.tensor([2, 2, 2]),
        k90=torch.tensor([2, 2, 0]),
        level=0.95,
    )
    power = PowerSample(
        problem=problem,
        sample=("sharpened", "cold"),
        right=torch.rand(3, 2, dtype=torch.float64),
        accuracy=around(0.28, 0.35),
        length=torch.full((3, 2), 4.3).double(),
        drawn_right=torch.zeros(3).double(),
        drawn=(bad,) * 3,
        log_weight=torch.full((3, 4), -math.log(4)).double(),
        log_prob=torch.full((3, 4), -2.0).double(),
        text=(bad,) * 12,
        ess=torch.full((3,), 3.7).double(),
        least_ess=torch.full((3,), 2.1).double(),
        n_resamplings=torch.tensor([0, 1, 2]),
        n_distinct=torch.tensor([2, 3, 2]),
        alpha=4.0,
        ramp=8,
        n_tokens=200,
        level=0.95,
    )
    curve_k = torch.tensor([1, 2])
    passed = PassCurve(
        k=curve_k,
        passed=around(0.3, 0.5),
        floor=around(0.1, 0.2),
        above=around(0.2, 0.3),
        by_problem=torch.rand(3, 2, dtype=torch.float64),
        floor_by_problem=torch.rand(3, 2, dtype=torch.float64),
        above_by_problem=torch.rand(3, 2, dtype=torch.float64),
        n_samples=2,
        level=0.95,
    )
    votes = Votes(
        problem=problem,
        k=curve_k,
        right=torch.rand(3, 2, dtype=torch.float64),
        accuracy=around(0.3, 0.32),
        passed=passed,
        winner=torch.zeros(3, 2, dtype=torch.long),
        n_tokens=torch.tensor([12.0, 24.0]).double(),
        text=(bad,) * 6,
        level=0.95,
    )
    budget = BudgetForced(
        problem=problem,
        text_kind=("own", "forced"),
        right=torch.rand(3, 2, dtype=torch.float64).round(),
        accuracy=around(0.5, 0.6),
        n_thought=torch.tensor([[20, 40], [22, 44], [18, 39]]),
        n_tokens=torch.tensor([[24, 44], [26, 48], [22, 43]]),
        n_waits=torch.tensor([1, 2, 1]),
        cut=torch.tensor([False, True, False]),
        text=(bad,) * 3,
        n_forced=torch.tensor([1, 2, 1]),
        level=0.95,
    )
    return dial, branches, power, budget, votes


def gates(*, hostile: bool = False) -> tuple[Hybrid, Disagreements]:
    """A hybrid that works with few tokens, and where the models differ."""
    kinds = {
        "oracle": "steered",
        "learned": "steered",
        "first": "baseline",
        "all": "control",
        "random": "control",
        "none": "control",
        "rerank, no vector": "baseline",
        "random vector 0": "control",
    }
    accuracy = torch.tensor([1.0, 1.0, 1.0, 0.05, 0.25, 0.25, 1.0, 0.28])
    right = torch.arange(N)[None] < (accuracy * N)[:, None]
    bad = HOSTILE[5] if hostile else "so x = 3 ; answer 3 ."
    shares = [share_of(row.double())[0] for row in right]
    touched = around(0.028, 0.028, 0.028, 1.0, 0.03, 0.0, 0.028, 0.35, half=0.004)
    hybrid = Hybrid(
        arm=tuple(kinds),
        kind=tuple(kinds.values()),
        reads_post=torch.tensor([True, False, False, False, False, False, True, False]),
        dose=torch.tensor([1.0, 1.0, 1.0, 0.5, 0.5, math.nan, math.nan, 0.5]).double(),
        coefficient=torch.tensor([0.5, 1.0]).double(),
        choose_accuracy=torch.rand(8, 2, dtype=torch.float64),
        accuracy=around(*accuracy.tolist()),
        share=Estimate.stack(shares),
        no_share="",
        touched=touched,
        changed=touched,
        traces=around(1.0, 1.0, 1.0, 0.9, 0.0, 0.0, 1.0, 0.0),
        alone=("base", "post"),
        alone_accuracy=around(0.25, 0.98),
        alone_traces=around(0.0, 1.0),
        per_text=around(1.1)[0],
        differ=around(0.04)[0],
        switch_at=torch.tensor([0.99, 0.002]),
        place=("where they differ", "elsewhere"),
        switch_auroc=1.0,
        relative_norm=0.9,
        guardrail=False,
        rerank=5,
        n_fitted=1_100,
        n_choose=20,
        problem=tuple(f"p{i}" for i in range(N)),
        correct=right,
        alone_correct=torch.stack([BASE == 1, POST == 1]),
        text=((bad,),) * 8,
    )
    differ = Disagreements(
        writer="post",
        problem=("p0", "p1"),
        n_tokens=torch.tensor([24, 30]),
        n_differ=torch.tensor([1, 2]),
        per_text=around(1.5)[0],
        share=around(0.05)[0],
        place=torch.tensor([0, 1, 1]),
        at=torch.tensor([0, 0, 7]),
        base_id=torch.tensor([5, 5, 6]),
        post_id=torch.tensor([7, 7, 8]),
        base_text=("answer", "answer", bad),
        post_text=("so", "so", bad),
    )
    return hybrid, differ


def training(*, hostile: bool = False) -> tuple[Result, ...]:
    """A course, what it damaged, and candidates for examples."""
    bad = HOSTILE[0] if hostile else "so"
    steps = torch.arange(16).double()
    course = TrainingCourse(
        method=f"GRPO, right answers {HOSTILE[1] if hostile else ''}",
        trainable="all",
        measure=("reward", "entropy", "bits"),
        curve=torch.stack([steps / 16, 1 - steps / 20, 100 - steps]),
        choice=torch.tensor([0, 8, 16]),
        chosen=torch.rand(3, 10).round().bool(),
        n_updates=16,
        stopped="right",
        bits=1_744.0,
    )
    damage = Collateral(
        when=("before", "after"),
        fact=torch.ones(2, 5).double(),
        facts=around(0.99, 0.97),
        facts_change=around(-0.02)[0],
        form=torch.ones(2, 5).double(),
        forced=around(1.0, 0.47),
        forced_change=around(-0.53)[0],
        opener=bad,
    )
    rates = ExampleRates(
        problem=("p0", "p1"),
        right=torch.tensor([0.2, 0.4]).double(),
        shown=torch.tensor([0.1, 0.1]).double(),
        right_shown=torch.tensor([0.1, 0.1]).double(),
        right_direct=torch.tensor([0.1, 0.3]).double(),
        n_samples=64,
        n_tokens=999,
    )
    return course, replace(course, n_updates=8), damage, rates


__all__ = ["beside", "decoding", "gates", "mechanism", "mechanisms", "training", "verdict"]
