"""Arms that only ask in another way: other prompts, forced beginnings, worked examples."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from elicit.elicitation.bench import Attempt, Bench, Sees, Writes
from elicit.elicitation.coherence import text_log_probs
from elicit.elicitation.decoding._choosing import best_setting
from elicit.elicitation.errors import ElicitationError
from elicit.tasks import Problem, PromptOf, Task


@dataclass(frozen=True, eq=False, kw_only=True)
class BestPrompt:
    """The best of several ways to ask, chosen on the problems to choose on.

    Bits: those of the choice, and of the tokens that it adds to the longest plain prompt.
    """

    ways: Mapping[str, PromptOf] | None = None
    """Prompt of a problem, by the name of the way; None: those of the bench's behaviour."""
    name: str = "best prompt"
    """What figures and tables call it."""
    control: bool = False
    """Whether it is a control."""
    sees: Sees = "nothing"
    """What it is told."""

    def attempt(self, bench: Bench) -> Attempt:
        """Choose a way to ask, and write under it; see `Means`."""
        asked, tests = (self._asked(bench, part) for part in (bench.choose, bench.test))
        write, n_tokens, right = bench.writes(bench.base), 0, {}
        for way, task in asked.items():
            tried = bench.tried(write, task, sampled=False)
            right[way] = tried.right
            n_tokens += tried.n_tokens
        chosen = best_setting(right)
        told = _n_told(bench, asked[chosen.name])
        return Attempt(
            chosen=chosen.right,
            tests=(bench.tried(write, tests[chosen.name], sampled=True),),
            bits=told * math.log2(bench.pair.d_vocab) + math.log2(len(right)),
            n_tokens=n_tokens,
            flops=bench.flops(n_tokens),
            setting=chosen.name,
            rejected=chosen.rejected,
        )

    def _asked(self, bench: Bench, part: Task) -> dict[str, Task]:
        if self.ways is None:
            return bench.behaviour.asked(part)
        if not self.ways:
            raise ElicitationError("no way to ask is given. Pass one or more, or ways=None.")
        return {
            way: replace(
                part,
                name=f"{part.name}, {way}",
                problems=tuple(replace(p, prompt=of(p) or p.prompt) for p in part),
            )
            for way, of in self.ways.items()
        }


@dataclass(frozen=True, eq=False, kw_only=True)
class ForcedPrefix:
    """The best of several beginnings of a text, forced on base.

    Bits: what the beginning costs under base itself, -log2 of its probability, mean over the
    problems to choose on, and those of the choice.
    """

    prefixes: Sequence[str]
    """Beginnings, as text; given by the caller, not read from post."""
    name: str = "forced prefix"
    """What figures and tables call it."""
    control: bool = False
    """Whether it is a control."""
    sees: Sees = "nothing"
    """What it is told: `post texts` where the beginnings were found there."""

    def attempt(self, bench: Bench) -> Attempt:
        """Choose a beginning, and write after it; see `Means`."""
        if not self.prefixes:
            raise ElicitationError("no beginning is given, so none could be forced. Pass some.")
        ids = {text: self._ids(bench, text) for text in self.prefixes}
        n_tokens, right = 0, {}
        for text in self.prefixes:
            tried = bench.tried(self._writes(bench, ids[text]), bench.choose, sampled=False)
            right[text] = tried.right
            n_tokens += tried.n_tokens
        chosen = best_setting(right)
        best = ids[chosen.name]
        return Attempt(
            chosen=chosen.right,
            tests=(bench.tried(self._writes(bench, best), bench.test, sampled=True),),
            bits=prefix_bits(bench, best) + math.log2(len(ids)),
            n_tokens=n_tokens,
            flops=bench.flops(n_tokens),
            setting=f"begins {chosen.name!r}",
            rejected=chosen.rejected,
        )

    @staticmethod
    def _ids(bench: Bench, text: str) -> tuple[int, ...]:
        """Token ids of a beginning."""
        alignment, templated = bench.pair.alignment, bench.generation.templated
        if alignment.unknown(text, templated=templated):
            raise ElicitationError(
                f"the tokenizer does not know a word of the beginning {text!r}, so it could not "
                "be forced. Use words of its vocabulary."
            )
        tokenizer = alignment.template_tokenizer if templated else alignment.tokenizer
        return tuple(int(i) for i in tokenizer.encode(text, add_special_tokens=False))

    @staticmethod
    def _writes(bench: Bench, ids: tuple[int, ...]) -> Writes:
        every = (*bench.choose, *bench.test)
        return bench.writes(bench.base, prefixes={problem.id: ids for problem in every})


def prefix_bits(bench: Bench, ids: tuple[int, ...]) -> float:
    """-log2 of the probability that base begins with these tokens, mean over problems to choose on.

    Args:
        bench: Base and its problems.
        ids: Token ids.
    """
    alignment, templated = bench.pair.alignment, bench.generation.templated
    rows = [
        (tuple(alignment.prompt(problem.turns, templated=templated)), ids)
        for problem in bench.choose
    ]
    means = text_log_probs(bench.base.bridge, rows, pad_id=alignment.pad_id)
    return -len(ids) * means.mean().item() / math.log(2)


@dataclass(frozen=True, eq=False, kw_only=True)
class FewShot:
    """Worked examples before the problem, taken from the problems to fit on.

    Bits: the tokens of the examples, each as long as the vocabulary allows.
    """

    n: int = 2
    """Examples."""
    with_steps: bool = True
    """Whether an example has its problem's trace before the answer."""
    lead_in: str = ""
    """Put before each answer, such as `answer`."""
    end: str = ""
    """Put after each answer, such as ` .`."""
    between: str = "\n\n"
    """Put between examples."""
    control: bool = False
    """Whether it is a control."""

    @property
    def name(self) -> str:
        """What figures and tables call it."""
        return f"{self.n} worked examples" if self.with_steps else f"{self.n} answered examples"

    @property
    def sees(self) -> Sees:
        """Solutions are a teacher's; answers are answers."""
        return "teacher" if self.with_steps else "answers"

    def attempt(self, bench: Bench) -> Attempt:
        """Write after the examples; see `Means`."""
        usable = [p for p in bench.fit if p.trace or not self.with_steps]
        if self.n < 1 or len(usable) < self.n:
            raise ElicitationError(
                f"{self.n} examples are asked for, and {len(usable)} of the {len(bench.fit)} "
                f"problems to fit on have {'a trace' if self.with_steps else 'an answer'}. Pass "
                "fewer, at least 1, or tasks with traces."
            )
        first = torch.randperm(
            len(usable), generator=torch.Generator().manual_seed(bench.inference.seed)
        )[: self.n]
        shown = self.between.join(self._example(bench, usable[i]) for i in first.tolist())
        head = f"{shown}{self.between}"
        parts = [
            replace(
                part,
                name=f"{part.name}, {self.name}",
                problems=tuple(replace(p, prompt=f"{head}{p.prompt}") for p in part),
            )
            for part in (bench.choose, bench.test)
        ]
        write = bench.writes(bench.base)
        chosen = bench.tried(write, parts[0], sampled=False)
        n_told = _n_told(bench, parts[0])
        return Attempt(
            chosen=chosen.right,
            tests=(bench.tried(write, parts[1], sampled=True),),
            bits=n_told * math.log2(bench.pair.d_vocab),
            n_tokens=chosen.n_tokens,
            flops=bench.flops(chosen.n_tokens),
            setting=f"{self.n} examples, {n_told} tokens",
        )

    def _example(self, bench: Bench, problem: Problem) -> str:
        answer = " ".join(filter(None, [self.lead_in, problem.answer])) + self.end
        said = f"{problem.trace} {answer}" if self.with_steps else answer
        return bench.pair.alignment.joined(problem.prompt, said)[1]


def _n_told(bench: Bench, asked: Task) -> int:
    """Most tokens that a way to ask adds to a prompt of the problems to choose on."""
    read, templated = bench.pair.alignment.prompt, bench.generation.templated
    return max(
        0,
        *(
            len(read(p.turns, templated=templated)) - len(read(q.turns, templated=templated))
            for p, q in zip(asked, bench.choose, strict=True)
        ),
    )
