"""What a job asked of the models, for the box at the top of its page."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from elicit import organisms
from elicit.jobs._spec import PairSpec
from elicit.page import Compared, ComparedModel, ComparedTask, Example
from elicit.pair import ModelPair, Side, hugging_face_model
from elicit.results import ElicitError
from elicit.rollouts import Answers, Generation, answer_task
from elicit.runs import Execution
from elicit.tasks import Task

N_SHOWN = 2
"""Problems shown of each task."""
LONGEST = 128
"""Tokens of a model's answer there, at most."""
BEYOND = 8
"""Tokens shown beyond the longest right answer, where no text is graded."""
GRADED = "A problem’s score is 1 if the answer in the model’s greedy text is right, else 0."


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Problems that a job puts to the models."""

    name: str
    """Name of the task."""
    score: str
    """What a problem's number is, as a sentence."""
    graded: bool = True
    """Whether the score needs the models' texts; else only how these begin is shown."""
    task: Task | None = None
    """The problems, of which both models answer some for the page."""
    n: int = 0
    """Number of problems, where there is no task."""
    examples: tuple[Example, ...] = ()
    """Problems to show, where there is no task."""


def compared(
    spec: PairSpec, pair: ModelPair, asked: Sequence[Asked], execution: Execution
) -> Compared:
    """The box: both models, what was planted, and each task with problems that both answer.

    Args:
        spec: Options of the job.
        pair: The two models.
        asked: Its tasks.
        execution: Keeps the answers, so that a finished run asks no model again.
    """
    longest = getattr(spec, "max_new_tokens", None) or LONGEST
    generation = Generation(
        extractor=getattr(spec, "extractor", None) or Generation().extractor,
        max_new_tokens=min(longest, LONGEST),
        templated=spec.templated,
    )
    return Compared(
        models=tuple(_model(pair.side(name), pair) for name in ("base", "post")),
        tasks=tuple(
            ComparedTask(
                name=one.name,
                n=one.n if one.task is None else len(one.task),
                score=one.score,
                examples=one.examples
                if one.task is None
                else _answered(
                    *(pair, one, generation, execution.scoped(f"shown-{i}")),
                    whole=longest <= LONGEST,
                ),
            )
            for i, one in enumerate(asked)
        ),
        planted=_planted(spec),
    )


def _model(side: Side, pair: ModelPair) -> ComparedModel:
    model = hugging_face_model(side.bridge)
    return ComparedModel(
        role=side.name,
        name=pair.base_name if side.name == "base" else pair.post_name,
        n_parameters=sum(each.numel() for each in model.parameters()),
        n_layers=pair.n_layers,
        architecture=pair.architecture,
    )


def _answered(
    pair: ModelPair, asked: Asked, generation: Generation, execution: Execution, *, whole: bool
) -> tuple[Example, ...]:
    """Some problems, with the answers of both models where these can write any.

    Jobs that only read may have prompts that leave no room for an answer. `whole`: whether texts
    are as long here as where they were graded, so that one without an answer is wrong.
    """
    assert asked.task is not None
    some = asked.task.subset(min(N_SHOWN, len(asked.task)), 0)
    if not asked.graded:
        enough = BEYOND + max(len(pair.tokenizer.encode(each.answer)) for each in some)
        generation = replace(generation, max_new_tokens=min(generation.max_new_tokens, enough))
    try:
        texts = {
            name: answer_task(
                pair.side(name), some, generation=generation, execution=execution.scoped(name)
            )
            for name in ("base", "post")
        }
    except ElicitError:
        texts = {}
    return tuple(
        Example(
            prompt=problem.prompt,
            answer=problem.answer,
            said=tuple(
                (name, text.completion[i].strip(), _mark(text, i, whole=whole))
                if asked.graded
                else (name, f"{text.completion[i].strip()}{' …' * bool(text.truncated[i])}", "")
                for name, text in texts.items()
            ),
        )
        for i, problem in enumerate(some)
    )


def _mark(text: Answers, i: int, *, whole: bool) -> str:
    """Whether an answer is right; of a text that is cut earlier than it was graded, that it is."""
    if bool(text.truncated[i]) and not whole:
        return "cut here"
    return "right" if text.correct[i] else "wrong"


def _planted(spec: PairSpec) -> str:
    """What the card of an embedded pair says; empty for other pairs."""
    if not organisms.is_organism(spec.pair):
        return ""
    return str(organisms.resolve(str(spec.pair)).truth["what"])
