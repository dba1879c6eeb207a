"""Documents to fine-tune on: prompts with the text that is to follow."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from elicit.elicitation.bench import Sees
from elicit.elicitation.training.errors import TrainingError
from elicit.results import digest_json
from elicit.tasks import Problem, Task


@dataclass(frozen=True, kw_only=True)
class Document:
    """A prompt and the text that is to follow it; only the text is learned."""

    id: str
    """Unique among the documents."""
    prompt: str
    """What is read first."""
    target: str
    """What is learned, up to the token that ends a text."""


@dataclass(frozen=True, kw_only=True)
class Documents:
    """Documents to learn together, with what they tell.

    Raises:
        TrainingError: There is none, one has no target, or two have one id.
    """

    name: str
    """What figures and tables call them."""
    sees: Sees
    """What they tell about the task."""
    documents: tuple[Document, ...]
    """At least one."""

    def __post_init__(self) -> None:
        """Refuse documents that teach nothing."""
        ids = [document.id for document in self.documents]
        empty = [d.id for d in self.documents if not d.target.strip()]
        twice = sorted({each for each in ids if ids.count(each) > 1}) if len(ids) < 4096 else []
        if not ids or empty or twice or len(set(ids)) != len(ids):
            what = (
                "there are no documents"
                if not ids
                else f"document {empty[0]!r} has no target"
                if empty
                else f"two documents are called {twice[0] if twice else 'alike'!r}"
            )
            raise TrainingError(
                f"{what} in {self.name!r}, so nothing could be learned from it. Give each document "
                "a target and an id of its own."
            )

    def __len__(self) -> int:
        """Number of documents."""
        return len(self.documents)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the documents in their order."""
        return digest_json([[d.id, d.prompt, d.target] for d in self.documents])


def answer_documents(task: Task, *, form: str = "answer {} .") -> Documents:
    """Problems with their bare answers.

    Args:
        task: The problems.
        form: How an answer is written; `{}` stands for it.

    Raises:
        TrainingError: The form has no place for the answer.
    """
    return Documents(
        name=f"answers, {task.name}",
        sees="answers",
        documents=tuple(Document(id=p.id, prompt=p.prompt, target=_closed(form, p)) for p in task),
    )


def trace_documents(task: Task, *, form: str = "answer {} .") -> Documents:
    """Problems with their written solutions and answers.

    Args:
        task: Problems, each with a trace.
        form: How an answer is written; `{}` stands for it.

    Raises:
        TrainingError: A problem has no trace, or the form has no place for the answer.
    """
    return Documents(
        name=f"solutions, {task.name}",
        sees="teacher",
        documents=tuple(
            Document(id=p.id, prompt=p.prompt, target=f"{_trace(p)} {_closed(form, p)}")
            for p in task
        ),
    )


@dataclass(frozen=True, kw_only=True)
class Reversed:
    """A problem asked backwards: its answer is given and something that was given is asked."""

    question: str
    """The backward question, as a prompt."""
    solution: str
    """A written solution of it, with its answer."""


def reverse_documents(
    task: Task,
    reverse: Callable[[Problem], Reversed],
    *,
    form: str = "answer {} .",
    asks: Callable[[Problem, str], tuple[str, str]] | None = None,
) -> Documents:
    """Forward solutions beside backward questions and their solutions, learned together.

    Args:
        task: Problems, each with a trace.
        reverse: Asks a problem backwards: written by a teacher, or by a rule.
        form: How an answer is written; `{}` stands for it.
        asks: From a problem and its backward question, a prompt that asks for the question and the
            question as its target: the method's third objective; None leaves it out.

    Raises:
        TrainingError: A problem has no trace, or the form has no place for the answer.

    Source: Chen et al. 2024, arXiv:2411.19865 (RevThink): forward reasoning, backward question and
        backward reasoning, with equal weights.
    """
    documents: list[Document] = []
    for problem in task:
        back = reverse(problem)
        target = f"{_trace(problem)} {_closed(form, problem)}"
        documents += [
            Document(id=f"{problem.id}, forward", prompt=problem.prompt, target=target),
            Document(id=f"{problem.id}, backward", prompt=back.question, target=back.solution),
        ]
        if asks is not None:
            prompt, question = asks(problem, back.question)
            documents.append(Document(id=f"{problem.id}, question", prompt=prompt, target=question))
    return Documents(
        name=f"forward and backward, {task.name}", sees="teacher", documents=tuple(documents)
    )


@dataclass(frozen=True, kw_only=True)
class SearchStep:
    """One attempt of a search."""

    text: str
    """The attempt as it is written, with the verdict on it."""
    succeeds: bool
    """Whether it solves the problem."""


def search_documents(
    task: Task,
    search: Callable[[Problem], Sequence[SearchStep]],
    *,
    kind: Literal["messy", "clean"] = "messy",
    form: str = "answer {} .",
) -> Documents:
    """Searches as they went, with what failed before what succeeded; or the success alone.

    Args:
        task: The problems.
        search: Attempts at a problem, in order, of which at least one succeeds.
        kind: `messy` keeps the failed attempts before the first success; `clean` is the control.
        form: How an answer is written; `{}` stands for it.

    Raises:
        TrainingError: A search fails, or the form has no place for the answer.

    Source: Gandhi et al. 2024, arXiv:2404.03683 (stream of search).
    """
    documents: list[Document] = []
    for problem in task:
        steps = list(search(problem))
        ends = next((n for n, step in enumerate(steps) if step.succeeds), None)
        if ends is None:
            raise TrainingError(
                f"none of the {len(steps)} attempts at problem {problem.id!r} succeeds, so its "
                "document would teach a wrong answer. Leave the problem out, or search longer."
            )
        kept = steps[: ends + 1] if kind == "messy" else steps[ends : ends + 1]
        target = " ".join([*(step.text for step in kept), _closed(form, problem)])
        documents.append(Document(id=problem.id, prompt=problem.prompt, target=target))
    return Documents(name=f"{kind} search, {task.name}", sees="teacher", documents=tuple(documents))


def _closed(form: str, problem: Problem) -> str:
    """The answer of a problem as it is written."""
    if "{}" not in form:
        raise TrainingError(
            f"form is {form!r}, which has no place for the answer, so every document would end "
            "alike. Write {} where the answer stands."
        )
    return form.replace("{}", problem.answer)


def _trace(problem: Problem) -> str:
    """The written solution of a problem."""
    if problem.trace is None:
        raise TrainingError(
            f"problem {problem.id!r} has no trace, so there is no solution to learn. Pass problems "
            "with traces, or answer_documents."
        )
    return problem.trace
