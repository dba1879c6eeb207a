"""Written thoughts: what stands between a prompt and its answer, given or written by a model."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from elicit.pair import Alignment, Text
from elicit.results import digest_json
from elicit.rollouts import Rollouts
from elicit.stats import Inference
from elicit.tasks import (
    Problem,
    Task,
    same_answer,
    shown,
)
from elicit.texts import AnswerForm, CutText, StepRule
from elicit.traces.errors import TraceError
from elicit.traces.splitting import split_answer
from elicit.traces.values import distinct, near_values

N_OTHERS = 9
"""Answers of other problems that stand beside the right one where a task names no candidates."""


@dataclass(frozen=True, kw_only=True)
class Thought:
    """One written thought."""

    problem: Problem
    """What it is about."""
    text: str
    """The thought alone, without its answer; may be empty."""
    answer: str | None
    """The answer that its writer gave after it; None if it gave none or is not known."""
    truncated: bool = False
    """Whether it was cut before its writer ended it."""
    correct: bool | None = None
    """Whether its writer's answer is right; None where nobody answered."""


@dataclass(frozen=True, kw_only=True)
class Thoughts:
    """Written thoughts to the problems of a task, one a problem.

    Raises:
        TraceError: There are fewer than two, or a problem occurs twice.
    """

    task: str
    """Name of the task."""
    source: str
    """Who wrote them: `given`, `base` or `post`."""
    items: tuple[Thought, ...]
    """In the order of the task; problems without a thought are left out."""
    n_left_out: int = 0
    """Problems without a thought."""

    def __post_init__(self) -> None:
        """Refuse what no interval could be made of."""
        if len(self.items) < 2:
            some = "is 1 problem" if self.items else "are no problems"
            raise TraceError(
                f"there {some} with a thought written by {self.source} "
                f"({self.n_left_out} without), and intervals are over problems. Give thoughts "
                "in 'trace', or have the models write longer with an opener that begins one."
            )
        ids = [item.problem.id for item in self.items]
        if len(set(ids)) < len(ids):
            raise TraceError(
                "a problem has several thoughts, and one stands for each problem. Keep one."
            )

    def __len__(self) -> int:
        """Number of thoughts."""
        return len(self.items)

    @property
    def digest(self) -> str:
        """SHA-256 of the thoughts and their problems."""
        held = [[i.problem.to_dict(), i.text, i.answer, i.truncated] for i in self.items]
        return digest_json([self.source, held])

    def only(self, ids: Sequence[str]) -> "Thoughts":
        """The thoughts on some problems, in the order of this value.

        Args:
            ids: Ids of the problems.
        """
        keep = tuple(item for item in self.items if item.problem.id in set(ids))
        return replace(self, items=keep, n_left_out=self.n_left_out + len(self) - len(keep))


def given_thoughts(task: Task, form: AnswerForm) -> Thoughts:
    """The traces that a task gives, each up to the lead-in of its answer if it has one.

    Args:
        task: Problems, each with a trace that leads to its answer.
        form: How the answer is asked for.

    Raises:
        TraceError: A problem has no trace, or nothing is left of it before the answer.
    """
    missing = [problem.id for problem in task if problem.trace is None]
    if missing:
        raise TraceError(
            f"{len(missing)} of {len(task)} problems of task {shown(task.name)} have no trace (the "
            f"first is {shown(missing[0])}), so there is no written thought to read. Add 'trace' "
            "to them, or read the models' own."
        )
    items = []
    for problem in task:
        text, answer = split_answer(str(problem.trace), problem, form)
        items.append(Thought(problem=problem, text=text, answer=answer or problem.answer))
    empty = [item.problem.id for item in items if not item.text.strip()]
    if empty:
        raise TraceError(
            f"nothing stands before the answer in the traces of {len(empty)} of {len(task)} "
            f"problems of task {shown(task.name)} (the first is {shown(empty[0])}), so there is no "
            "thought to read. Write the steps that lead to the answer, or leave them out."
        )
    return Thoughts(task=task.name, source="given", items=tuple(items))


def own_thoughts(task: Task, written: Rollouts, form: AnswerForm, *, source: str) -> Thoughts:
    """Thoughts that a model wrote itself, the first sample of every problem.

    A text that is nothing but its answer holds no thought.

    Args:
        task: The problems.
        written: What the model wrote to them.
        form: How the answer is asked for.
        source: `base` or `post`.

    Raises:
        TraceError: The texts are of another task, or fewer than two hold a thought.
    """
    if task.digest != written.task_digest:
        raise TraceError(
            f"the texts are of a task {shown(written.task)} with digest "
            f"{written.task_digest[:12]} and the task given is {shown(task.name)} with "
            f"{task.digest[:12]}, so thoughts would get the answers of other problems. Pass the "
            "task that was sampled."
        )
    items: list[Thought] = []
    for row in range(len(written)):
        if int(written.sample[row]) != 0:
            continue
        problem = task.problems[int(written.place[row])]
        text, _ = split_answer(written.text[row], problem, form)
        answer = written.extracted[row]
        if text.strip() and not (answer is not None and same_answer(text, answer)):
            items.append(
                Thought(
                    problem=problem,
                    text=text,
                    answer=answer,
                    truncated=bool(written.truncated[row]),
                    correct=bool(written.correct[row]),
                )
            )
    n_left_out = len(task) - len(items)
    return Thoughts(task=task.name, source=source, items=tuple(items), n_left_out=n_left_out)


def answer_pool(
    thoughts: Sequence[Thoughts], *, inference: Inference = Inference()
) -> dict[str, tuple[str, ...]]:
    """Answers among which each problem's is read: its candidates, or a pool where it has none.

    The pool holds the right answer, what the writers answered, the edited question's answer, and
    answers of other problems, drawn by the seed, or numbers near the right one where these are too
    few; no two have the same value.

    Args:
        thoughts: All thoughts that are read; problems may be in several.
        inference: Gives the seed.

    Raises:
        TraceError: Nothing stands beside a right answer.
    """
    import numpy as np

    problems = {item.problem.id: item.problem for each in thoughts for item in each.items}
    answers = list(dict.fromkeys(problem.answer for problem in problems.values()))
    pools: dict[str, tuple[str, ...]] = {}
    for place, (name, problem) in enumerate(problems.items()):
        if problem.candidates is not None:
            pools[name] = problem.candidates
            continue
        own = [i.answer for each in thoughts for i in each.items if i.problem.id == name]
        edited = [problem.edited.answer] if problem.edited is not None else []
        random = np.random.default_rng([inference.seed, place])
        drawn = [answers[i] for i in random.permutation(len(answers))[: N_OTHERS + 1]]
        pool = distinct([problem.answer, *(a for a in own if a), *edited, *drawn])
        more = N_OTHERS + 1 - len(pool)
        if more > 0:
            near = near_values(problem.answer)
            random.shuffle(near)
            pool = distinct([*pool, *near])[: len(pool) + more]
        if len(pool) < 2:
            raise TraceError(
                f"all {len(problems)} problems have the answer {shown(problem.answer)} and name no "
                "candidates, so there is none to choose it from and every answer would be right. "
                "Add 'candidates' to the problems."
            )
        pools[name] = pool
    return pools


def cut_texts(
    thoughts: Thoughts,
    rule: StepRule,
    pools: dict[str, tuple[str, ...]],
    alignment: Alignment,
) -> tuple[CutText, ...]:
    """Thoughts with their cuts: before the first step and after each one.

    Args:
        thoughts: What is read.
        rule: Where steps end.
        pools: Candidate answers of each problem.
        alignment: Gives the tokens' ends where steps are counted in tokens.

    Raises:
        TraceError: A thought has no step.
    """
    found = []
    for item in thoughts.items:
        ends = rule.ends(item.text, token_ends=token_ends(alignment, item.text))
        if not ends:
            raise TraceError(
                f"the thought on problem {shown(item.problem.id)} has no step that {rule} could "
                "cut, so there is nothing before its answer. Leave the problem out."
            )
        found.append(
            CutText(
                problem=item.problem.id,
                prompt=turns(item.problem),
                text=item.text,
                cuts=(0, *ends),
                candidates=pools[item.problem.id],
            )
        )
    return tuple(found)


def turns(problem: Problem, *, edited: bool = False) -> Text:
    """The prompt of a problem, or its edited one, with the conversation before it.

    Args:
        problem: The problem.
        edited: Whether its question is the edited one.
    """
    if not edited or problem.edited is None:
        return problem.turns
    return replace(problem, prompt=problem.edited.prompt, edited=None).turns


def token_ends(alignment: Alignment, text: str) -> tuple[int, ...]:
    """Character at which each token of a text ends, as the pair's tokenizer cuts the text alone.

    Args:
        alignment: How text becomes token ids.
        text: Any text.
    """
    tokenizer = alignment.tokenizer
    if getattr(tokenizer, "is_fast", False):
        read = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)  # pyright: ignore[reportCallIssue]
        return tuple(int(end) for _, end in read["offset_mapping"])
    return tuple(match.end() for match in re.finditer(r"\S+", text))
