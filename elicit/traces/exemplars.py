"""Solved problems before the question whose thoughts are valid, invalid, shuffled, or nonsense."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from elicit.tasks import Problem, Task, numbers, plain, shown
from elicit.texts import StepRule
from elicit.traces.checkers import Checker
from elicit.traces.conditions import Condition
from elicit.traces.errors import TraceError
from elicit.traces.values import near_values

KINDS = ("valid", "invalid", "shuffled", "nonsense", "none")
"""Conditions, the reference first: steps that hold, steps with other numbers, the same steps in
another order, as many words drawn from all thoughts, and no solved problems at all. Answers of the
solved problems are right in all."""
SHOT = "{prompt}\n{thought}\n{answer}\n\n"
_TRIES = 50


def exemplar_conditions(
    task: Task,
    solved: Sequence[Problem],
    *,
    steps: StepRule,
    shot: str = SHOT,
    opener: str = "",
    checker: Checker | None = None,
    seed: int = 0,
) -> dict[str, Condition]:
    """The problems of a task after solved ones, in five kinds that differ in the thoughts alone.

    Ask them with `conditions`: where valid thoughts help no more than invalid ones, it is not their
    logic that helps.

    Args:
        task: The questions.
        solved: Solved problems with traces, none of them in the task.
        steps: Where thoughts are cut into steps, for the shuffled ones.
        shot: How a solved problem is written, with `{prompt}`, `{thought}` and `{answer}`.
        opener: Text that begins each model's text.
        checker: Must call the valid thoughts valid and the invalid ones invalid; None trusts that
            other numbers make a thought invalid.
        seed: Draws numbers, orders and words.

    Raises:
        TraceError: There are no solved problems, one has no trace or is asked as well, `shot` lacks
            a part, no number can be changed, nothing can be shuffled, or the checker disagrees.

    Source: invalid exemplars of Schaeffer et al. 2023 (arXiv:2307.10573) and Wang et al. 2023
        (arXiv:2212.10001).
    """
    traces = _traces(task, solved, shot)
    random = np.random.default_rng([seed, 11])
    words = [word for trace in traces for word in trace.split()]
    made = {
        "valid": traces,
        "invalid": [_invalid(p, t, checker, random) for p, t in zip(solved, traces, strict=True)],
        "shuffled": _shuffled(traces, steps, random),
        "nonsense": [" ".join(random.choice(words, len(trace.split()))) for trace in traces],
    }
    if checker is not None:
        wrong = [p.id for p, t in zip(solved, traces, strict=True) if checker(p, t) is False]
        if wrong:
            raise TraceError(
                f"the trace of the solved problem {shown(wrong[0])} does not hold by the checker "
                f"({len(wrong)} such), so it could not stand for valid thoughts. Give others."
            )
    shots = {
        kind: "".join(
            shot.format(prompt=p.prompt, thought=thought, answer=p.answer)
            for p, thought in zip(solved, thoughts, strict=True)
        )
        for kind, thoughts in made.items()
    } | {"none": ""}
    return {kind: Condition(task=_after(task, kind, shots[kind]), opener=opener) for kind in KINDS}


def _traces(task: Task, solved: Sequence[Problem], shot: str) -> list[str]:
    asked = {problem.id for problem in task}
    bare = [p.id for p in solved if not p.trace or p.id in asked]
    lacking = [part for part in ("prompt", "thought", "answer") if f"{{{part}}}" not in shot]
    if not solved or bare or lacking:
        what = (
            f"the solved problem {shown(bare[0])} has no trace or is asked as well"
            if bare
            else f"shot lacks {{{lacking[0]}}}"
            if lacking
            else "there are no solved problems"
        )
        raise TraceError(
            f"{what}, so nothing valid could stand before the questions. Give solved problems of "
            "their own with traces, and a shot with {prompt}, {thought} and {answer}."
        )
    return [str(problem.trace) for problem in solved]


def _invalid(
    problem: Problem, trace: str, checker: Checker | None, random: np.random.Generator
) -> str:
    """The thought with other numbers; the answer after it stays."""
    for _ in range(_TRIES):
        changed, end = "", 0
        for number in numbers(plain(trace)):
            near = near_values(number.literal)
            if near:
                changed += trace[end : number.start] + near[int(random.integers(len(near)))]
                end = number.end
        changed += trace[end:]
        if changed != trace and (checker is None or checker(problem, changed) is False):
            return changed
    raise TraceError(
        f"no change of numbers makes the trace of the solved problem {shown(problem.id)} invalid, "
        "so valid and invalid thoughts could not be compared. Give traces that calculate."
    )


def _shuffled(traces: Sequence[str], rule: StepRule, random: np.random.Generator) -> list[str]:
    """Each thought with its steps in another order; one of a single step stays as it is."""
    found = []
    for trace in traces:
        ends = [0, *rule.ends(trace)]
        parts = [trace[a:b] for a, b in zip(ends, ends[1:], strict=False)]
        order = list(range(len(parts)))
        while len(set(parts)) > 1 and [parts[i] for i in order] == parts:
            order = random.permutation(len(parts)).tolist()
        joined = " ".join(parts[i].strip() for i in order)
        found.append(f"{joined}{trace[ends[-1] :]}" if order != sorted(order) else trace)
    if found == list(traces):
        raise TraceError(
            f"no trace of the {len(traces)} solved problems has two steps that {rule} could cut, "
            "so none can be shuffled. Give longer ones, or other steps."
        )
    return found


def _after(task: Task, kind: str, shots: str) -> Task:
    problems = tuple(replace(p, prompt=f"{shots}{p.prompt}") for p in task)
    return Task(name=f"{task.name}, {kind}", problems=problems)
