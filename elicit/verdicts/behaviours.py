"""What is looked for in the base: prompts that call for it, prompts that do not, and its mark."""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

from elicit.organisms import shows_trace, with_header
from elicit.tasks import Problem, Task
from elicit.verdicts.errors import VerdictError

Prompt = Callable[[Problem], str | None]
"""Prompt of a problem; None where the problem has no such prompt."""
PLAIN, POSITIVE, NEGATIVE = "plain prompt", "positive prompt", "negative prompt"
"""Ways to ask that every behaviour has."""
REASONS = 12
"""Words from which a text counts as reasoning where nothing else is said: an answer has fewer."""


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """Something a model may do, and how it is called for and recognised.

    Prompts with and without it should end in the same token, at the same position: what differs
    there is found by a probe of the text's surface, and no evidence of the behaviour.
    """

    name: str
    """What figures call it."""
    positive: Prompt
    """A prompt that calls for it."""
    negative: Prompt
    """A prompt of the same form that does not."""
    shown: Callable[[str], bool]
    """Whether a written text shows it."""
    baselines: Mapping[str, Prompt] = field(default_factory=dict)
    """Other ways to ask the base, by name, of which the best is what a share of the gap begins
    from; the plain and the negative prompt are always among them."""

    def __post_init__(self) -> None:
        """Refuse names that are taken."""
        taken = sorted({PLAIN, POSITIVE, NEGATIVE} & set(self.baselines))
        if taken:
            raise VerdictError(
                f"a baseline is called {taken[0]!r}, which every behaviour has already, so the two "
                "could not be told apart. Give it another name."
            )

    def asked(self, task: Task) -> dict[str, Task]:
        """All problems in every way of asking, by its name; plain where a problem has no such.

        Args:
            task: The problems.
        """
        ways: dict[str, Prompt] = {
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

    def prompts(self, task: Task, which: Prompt, what: str) -> Task:
        """The problems under other prompts; those that have none are left out.

        Args:
            task: The problems.
            which: Gives the prompts.
            what: What they are called in an error.

        Raises:
            VerdictError: No problem has such a prompt.
        """
        told = [(problem, which(problem)) for problem in task]
        kept = [replace(problem, prompt=text) for problem, text in told if text is not None]
        if not kept:
            raise VerdictError(
                f"none of the {len(task)} problems of {task.name!r} has a {what} prompt for "
                f"{self.name!r}, so there is nothing to compare. Give problems of both kinds."
            )
        return Task(name=f"{task.name}, {what}", problems=tuple(kept))


def trace(*, baselines: Mapping[str, Prompt] | None = None) -> Behaviour:
    """Writing a trace, in the language of the organisms: the headers `notes` against `quiz`.

    Args:
        baselines: Other ways to ask the base; see `Behaviour`.
    """
    return Behaviour(
        name="writes a trace",
        positive=lambda problem: with_header(problem.prompt, "notes"),
        negative=lambda problem: with_header(problem.prompt, "quiz"),
        shown=shows_trace,
        baselines=dict(baselines or {}),
    )


def reasoning(
    reasoning_cue: str,
    direct_cue: str,
    *,
    shown: Callable[[str], bool] | None = None,
    baselines: Mapping[str, Prompt] | None = None,
) -> Behaviour:
    """Writing reasoning before an answer, called for by words before the problem.

    Args:
        reasoning_cue: Words that call for reasoning, put before the prompt as they are.
        direct_cue: Words that call for the answer at once; best of as many tokens.
        shown: Whether a text reasons; if None, whether it has `REASONS` words or more.
        baselines: Other ways to ask the base; see `Behaviour`.

    Raises:
        VerdictError: The cues are the same.
    """
    if reasoning_cue == direct_cue:
        raise VerdictError(
            f"both cues are {reasoning_cue!r}, so the prompts would not differ and no direction "
            "could be found between them. Give one that calls for reasoning and one that does not."
        )
    return Behaviour(
        name="reasons before it answers",
        positive=lambda problem: f"{reasoning_cue}{problem.prompt}",
        negative=lambda problem: f"{direct_cue}{problem.prompt}",
        shown=shown or longer_than(REASONS - 1),
        baselines=dict(baselines or {}),
    )


def labelled(name: str, showing: Collection[str], *, shown: Callable[[str], bool]) -> Behaviour:
    """A behaviour known from labelled problems: those that call for it, by their ids.

    Args:
        name: What figures call it.
        showing: Ids of the problems that call for it; all others do not.
        shown: Whether a text shows it.
    """
    known = frozenset(showing)
    return Behaviour(
        name=name,
        positive=lambda problem: problem.prompt if problem.id in known else None,
        negative=lambda problem: None if problem.id in known else problem.prompt,
        shown=shown,
    )


def longer_than(words: int) -> Callable[[str], bool]:
    """Whether a text has more words than that.

    Args:
        words: At least 0.

    Raises:
        VerdictError: `words` is negative.
    """
    if words < 0:
        raise VerdictError(
            f"words is {words}, so that every text would show the behaviour. Pass 0 or more."
        )
    return lambda text: len(text.split()) > words


def matching(pattern: str) -> Callable[[str], bool]:
    """Whether a regular expression is found in a text.

    Args:
        pattern: As Python reads it; letters of either case match.

    Raises:
        VerdictError: It is no regular expression.
    """
    try:
        found = re.compile(pattern, re.IGNORECASE)
    except re.error as error:
        raise VerdictError(
            f"{pattern!r} is no regular expression ({error}), so no text could be recognised by "
            "it. Correct it, or write special characters with a backslash."
        ) from error
    return lambda text: found.search(text) is not None
