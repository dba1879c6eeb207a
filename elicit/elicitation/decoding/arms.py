"""Arms that choose among a model's own texts: branches, votes, sharpening, budgets."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from elicit.elicitation.bench import Attempt, Bench, Sees, Tried
from elicit.elicitation.decoding._branches import PICKS
from elicit.elicitation.decoding._choosing import best_setting, no_samples
from elicit.elicitation.decoding.budget_forcing import BudgetForced, ThoughtBudget, budget_forcing
from elicit.elicitation.decoding.cot_decoding import CotDecoding, cot_decoding
from elicit.elicitation.decoding.power_sampling import PowerSample, power_sample
from elicit.elicitation.decoding.votes import Votes, majority_vote
from elicit.tasks import Task, check, last_candidate, last_number


def tried_texts(
    bench: Bench, task: Task, texts: Sequence[str], right: torch.Tensor, *, n_tokens: int
) -> Tried:
    """What texts show that one model did not write from left to right; nothing is drawn of them.

    Args:
        bench: What texts are read by.
        task: Their problems.
        texts: One for each.
        right: Whether each is right.
        n_tokens: Tokens written for them.
    """
    nan = no_samples(len(task))
    verified = nan
    if bench.checker is not None:
        holds = [bench.checker(p, text) is True for p, text in zip(task, texts, strict=True)]
        verified = right.double() * torch.tensor(holds).double()
    lenient = [
        check(text, problem, last_candidate if problem.candidates else last_number).correct
        for text, problem in zip(texts, task, strict=True)
    ]
    return Tried(
        right=right.double(),
        sampled=nan,
        shown=torch.tensor([float(bench.behaviour.shown(text)) for text in texts]).double(),
        lenient=torch.tensor(lenient).double(),
        verified=verified,
        n_tokens=n_tokens,
        texts=tuple(texts),
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class CotDecodingArm:
    """CoT-decoding; how many branches and how an answer is picked are chosen."""

    branches: int = 10
    """Most branches."""
    min_first: float = 0.01
    """See `cot_decoding`."""
    name: str = "CoT-decoding"
    """What figures and tables call it."""
    sees: Sees = "nothing"
    """What it is told."""
    control: bool = False
    """Whether it is a control."""

    def attempt(self, bench: Bench) -> Attempt:
        """Choose k and pick, and decode the test problems; see `Means`."""
        before = self._decoded(bench, bench.choose, self.branches, "choose")
        settings = {
            f"k={k}, {pick}": before.right[:, k - 1, at]
            for k in before.k.tolist()
            for at, pick in enumerate(PICKS)
            if k > 1 or not at
        }
        chosen = best_setting(settings)
        k, pick = chosen.name.removeprefix("k=").split(", ")
        found = self._decoded(bench, bench.test, int(k), "test")
        n_tokens = before.cost(self.branches)
        return Attempt(
            chosen=chosen.right,
            tests=(
                tried_texts(
                    bench,
                    bench.test,
                    found.texts(int(k), pick),
                    found.right[:, int(k) - 1, PICKS.index(pick)],
                    n_tokens=found.cost(int(k)),
                ),
            ),
            bits=math.log2(len(settings)),
            n_tokens=n_tokens,
            flops=bench.flops(n_tokens),
            setting=chosen.name,
            rejected=chosen.rejected,
            details={"branches": before},
        )

    def _decoded(self, bench: Bench, task: Task, branches: int, part: str) -> CotDecoding:
        return cot_decoding(
            bench.base,
            task,
            branches=branches,
            min_first=self.min_first,
            generation=bench.generation,
            inference=bench.inference,
            execution=bench.execution.scoped(part),
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class PowerSamplingArm:
    """Texts of the sharpened distribution; the exponent is chosen."""

    alphas: Sequence[float] = (4.0,)
    """Exponents."""
    particles: int = 16
    """Texts of each problem."""
    ramp: int = 8
    """Tokens over which the exponent rises."""
    name: str = "power sampling"
    """What figures and tables call it."""
    sees: Sees = "nothing"
    """What it is told."""
    control: bool = False
    """Whether it is a control."""

    def attempt(self, bench: Bench) -> Attempt:
        """Choose an exponent, and sample texts to the test problems; see `Means`."""
        before = {
            f"alpha={a:g}": self._sampled(bench, bench.choose, a, "choose") for a in self.alphas
        }
        chosen = best_setting({name: each.right[:, 0] for name, each in before.items()})
        alpha = self.alphas[list(before).index(chosen.name)]
        found = self._sampled(bench, bench.test, alpha, "test")
        n_tokens = sum(each.n_tokens for each in before.values())
        tried = tried_texts(
            bench, bench.test, found.drawn, found.drawn_right, n_tokens=found.n_tokens
        )
        return Attempt(
            chosen=chosen.right,
            # The weighted share is what such texts are right in, with less noise than one draw.
            tests=(replace(tried, right=found.right[:, 0], sampled=found.right[:, 0]),),
            bits=math.log2(len(before)),
            n_tokens=n_tokens,
            flops=bench.flops(n_tokens),
            setting=f"{chosen.name}, {self.particles} particles",
            rejected=chosen.rejected,
            details={"power": found},
        )

    def _sampled(self, bench: Bench, task: Task, alpha: float, part: str) -> PowerSample:
        return power_sample(
            bench.base,
            task,
            alpha=alpha,
            particles=self.particles,
            ramp=self.ramp,
            generation=bench.generation,
            inference=bench.inference,
            execution=bench.execution.scoped(f"{part}/{alpha!r}"),
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class MajorityVoteArm:
    """The answer that most sampled texts give; how many vote is chosen."""

    n_samples: int = 16
    """Most texts of each problem."""
    temperature: float = 1.0
    """Of the texts."""
    name: str = "majority vote"
    """What figures and tables call it."""
    sees: Sees = "nothing"
    """What it is told."""
    control: bool = False
    """Whether it is a control."""

    def attempt(self, bench: Bench) -> Attempt:
        """Choose how many vote, and vote on the test problems; see `Means`."""
        before = self._voted(bench, bench.choose, "choose")
        settings = {f"{k} texts": before.right[:, k - 1] for k in before.k.tolist()}
        chosen = best_setting(settings)
        at = list(settings).index(chosen.name)
        found = self._voted(bench, bench.test, "test")
        winner = found.winner[:, at].clamp(min=0).tolist()
        texts = [found.text[i * self.n_samples + one] for i, one in enumerate(winner)]
        cost = int(found.n_tokens[at] * len(bench.test))
        n_tokens = int(before.n_tokens[-1] * len(bench.choose))
        return Attempt(
            chosen=chosen.right,
            tests=(tried_texts(bench, bench.test, texts, found.right[:, at], n_tokens=cost),),
            bits=math.log2(len(settings)),
            n_tokens=n_tokens,
            flops=bench.flops(n_tokens),
            setting=chosen.name,
            rejected=chosen.rejected,
            details={"votes": found},
        )

    def _voted(self, bench: Bench, task: Task, part: str) -> Votes:
        how = replace(bench.generation, temperature=self.temperature, n_samples=self.n_samples)
        return majority_vote(
            bench.base,
            task,
            generation=how,
            inference=bench.inference,
            execution=bench.execution.scoped(part),
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class BudgetForcingArm:
    """Thoughts made longer or ended; the budget is chosen.

    Bits: the tokens of the words that are put into texts, and those of the choice.
    """

    budgets: Sequence[ThoughtBudget]
    """Budgets."""
    name: str = "budget forcing"
    """What figures and tables call it."""
    sees: Sees = "nothing"
    """What it is told."""
    control: bool = False
    """Whether it is a control."""

    def attempt(self, bench: Bench) -> Attempt:
        """Choose a budget, and force it on the test texts; see `Means`."""
        before = {
            b.name: (b, self._forced(bench, bench.choose, b, f"choose/{i}"))
            for i, b in enumerate(self.budgets)
        }
        chosen = best_setting({name: each.right[:, 1] for name, (_, each) in before.items()})
        budget = before[chosen.name][0]
        found = self._forced(bench, bench.test, budget, "test")
        n_tokens = sum(int(each.n_tokens.sum()) for _, each in before.values())
        alignment = bench.pair.alignment
        used = ((budget.wait, budget.least), (budget.end, budget.most))
        words = sum(
            len(alignment.tokenizer.encode(text, add_special_tokens=False))
            for text, limit in used
            if limit
        )
        return Attempt(
            chosen=chosen.right,
            tests=(
                tried_texts(
                    bench,
                    bench.test,
                    found.text,
                    found.right[:, 1],
                    n_tokens=int(found.n_tokens.sum()),
                ),
            ),
            bits=words * math.log2(bench.pair.d_vocab) + math.log2(len(before)),
            n_tokens=n_tokens,
            flops=bench.flops(n_tokens),
            setting=chosen.name,
            rejected=chosen.rejected,
            details={"budget": found},
        )

    def _forced(self, bench: Bench, task: Task, budget: ThoughtBudget, part: str) -> BudgetForced:
        return budget_forcing(
            bench.base,
            task,
            budget,
            generation=bench.generation,
            inference=bench.inference,
            execution=bench.execution.scoped(part),
        )
