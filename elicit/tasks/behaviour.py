"""A behaviour of a model: prompts that elicit it, prompts that do not, and a marker in the text."""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

from elicit.tasks.faults import TaskError
from elicit.tasks.problems import Problem
from elicit.tasks.task import Task

Marker = Callable[[str], bool]
"""Whether a text shows a behaviour, such as writing its reasoning."""
PromptOf = Callable[[Problem], str | None]
"""Prompt of a problem; None where the problem has no such prompt."""
PLAIN, POSITIVE, NEGATIVE = "plain prompt", "positive prompt", "negative prompt"
"""Prompts that every behaviour has."""
REASONS = 12
"""A text of this many words counts as reasoning by default: a bare answer has fewer."""


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """Something a model may do, with prompts that elicit it and a marker that recognises it.

    Positive and negative prompts should end in the same token at the same position: what differs
    there is found by a probe of the surface text, and is no evidence of the behaviour.
    """

    name: str
    """Name in figures and tables."""
    positive: PromptOf
    """A prompt that elicits it."""
    negative: PromptOf
    """A prompt of the same form that does not."""
    shown: Marker
    """Whether a text shows it."""
    baselines: Mapping[str, PromptOf] = field(default_factory=dict)
    """Other prompts for the base, by name. The best of them and of the three that every behaviour
    has is where the gap to post begins."""

    def __post_init__(self) -> None:
        """Refuse names that are taken."""
        taken = sorted({PLAIN, POSITIVE, NEGATIVE} & set(self.baselines))
        if taken:
            raise TaskError(
                f"a baseline is called {taken[0]!r}, which every behaviour has already, so the two "
                "could not be told apart. Give it another name."
            )

    def asked(self, task: Task) -> dict[str, Task]:
        """All problems under every prompt, by its name; the plain one where it has no such."""
        ways: dict[str, PromptOf] = {
            PLAIN: lambda problem: problem.prompt,
            POSITIVE: self.positive,
            NEGATIVE: self.negative,
            **self.baselines,
        }
        return {
            name: Task(
                name=f"{task.name}, {name}",
                problems=tuple(
                    replace(problem, prompt=which(problem) or problem.prompt) for problem in task
                ),
            )
            for name, which in ways.items()
        }

    def prompts(self, task: Task, which: PromptOf, what: str) -> Task:
        """The problems under other prompts; those that have none are left out.

        Args:
            task: The problems.
            which: Gives the prompts.
            what: What they are called in an error.

        Raises:
            TaskError: No problem has such a prompt.
        """
        told = [(problem, which(problem)) for problem in task]
        kept = [replace(problem, prompt=text) for problem, text in told if text is not None]
        if not kept:
            raise TaskError(
                f"none of the {len(task)} problems of {task.name!r} has a {what} prompt for "
                f"{self.name!r}, so there is nothing to compare. Give problems of both kinds."
            )
        return Task(name=f"{task.name}, {what}", problems=tuple(kept))


def reasoning_behaviour(
    reasoning_cue: str,
    direct_cue: str,
    *,
    shown: Marker | None = None,
    baselines: Mapping[str, PromptOf] | None = None,
    name: str = "reasons before it answers",
) -> Behaviour:
    """Reasoning before the answer, elicited by words before the problem.

    Args:
        reasoning_cue: Words that ask for reasoning, put before the prompt as they are.
        direct_cue: Words that ask for the answer alone; best of as many tokens.
        shown: Whether a text reasons; if None, whether it has `REASONS` words or more.
        baselines: Other prompts for the base; see `Behaviour`.
        name: What a text does that shows it, to follow `it`; where `shown` looks for something
            else than reasoning.

    Raises:
        TaskError: The cues are the same.
    """
    if reasoning_cue == direct_cue:
        raise TaskError(
            f"both cues are {reasoning_cue!r}, so the prompts would not differ and no direction "
            "could be found between them. Give one that asks for reasoning and one that does not."
        )
    return Behaviour(
        name=name,
        positive=lambda problem: f"{reasoning_cue}{problem.prompt}",
        negative=lambda problem: f"{direct_cue}{problem.prompt}",
        shown=shown or longer_than(REASONS - 1),
        baselines=dict(baselines or {}),
    )


def labelled_behaviour(name: str, showing: Collection[str], *, shown: Marker) -> Behaviour:
    """A behaviour known from labelled problems: the ids of those that elicit it.

    Args:
        name: Name in figures and tables.
        showing: Ids of the problems that elicit it; all others do not.
        shown: Whether a text shows it.
    """
    known = frozenset(showing)
    return Behaviour(
        name=name,
        positive=lambda problem: problem.prompt if problem.id in known else None,
        negative=lambda problem: None if problem.id in known else problem.prompt,
        shown=shown,
    )


def longer_than(words: int) -> Marker:
    """Whether a text has more words than that.

    Args:
        words: At least 0.

    Raises:
        TaskError: `words` is negative.
    """
    if words < 0:
        raise TaskError(
            f"words is {words}, so that every text would show the behaviour. Pass 0 or more."
        )
    return lambda text: len(text.split()) > words


def matching(pattern: str) -> Marker:
    """Whether a regular expression is found in a text.

    Args:
        pattern: As Python reads it; letters of either case match.

    Raises:
        TaskError: It is not a regular expression.
    """
    try:
        found = re.compile(pattern, re.IGNORECASE)
    except re.error as error:
        raise TaskError(
            f"{pattern!r} is not a regular expression ({error}), so no text could be recognised "
            "by it. Correct it, or write special characters with a backslash."
        ) from error
    return lambda text: found.search(text) is not None
