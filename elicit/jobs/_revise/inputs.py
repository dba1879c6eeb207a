"""Inputs of a settling job: texts to read, validated."""

from dataclasses import dataclass

from elicit import organisms
from elicit.jobs._revise.spec import ReviseSpec
from elicit.jobs._spec import SpecError
from elicit.jobs._tasks import read_task
from elicit.pair import ModelPair
from elicit.revision import TokenRows
from elicit.rollouts import Generation, check_prompts, rollouts
from elicit.runs import Execution
from elicit.tasks import Task

OWN_PROBLEMS = 60
"""Default number of problems of an embedded pair."""
_BATCH = 32
WRITERS = ("base", "post")


@dataclass(frozen=True, kw_only=True)
class ReviseInputs:
    """Inputs known before any text is generated."""

    task: Task
    """The problems."""
    kinds: tuple[str, ...]
    """Kinds of text, in order."""
    prompts: tuple[tuple[int, ...], ...] = ()
    """Token ids of the prompts that the models continue."""
    stop_ids: tuple[int, ...] = ()
    """Stop tokens."""
    max_new_tokens: int = 0
    """Maximum length of a text, tokens."""
    given: tuple[TokenRows, ...] = ()
    """Texts that need no generation."""


@dataclass(frozen=True, kw_only=True)
class ModelTexts:
    """Texts that a model generated, one per problem."""

    rows: TokenRows | None
    """The texts; None if all are empty."""
    truncated: float
    """Share of texts truncated at the maximum length."""
    empty: int
    """Number of problems with an empty text."""


def load_inputs(spec: ReviseSpec) -> ReviseInputs:
    """The problems, validated before a model is loaded.

    Raises:
        ElicitError: The file is missing or invalid, or its problems lack the requested texts.
    """
    embedded = spec.problems is None
    path = organisms.resolve(str(spec.pair)).problems if embedded else spec.problems
    assert path is not None
    task = read_task(spec, path)
    n = spec.limit or (OWN_PROBLEMS if embedded else len(task))
    if n < len(task):
        task = task.subset(n, spec.seed)
    if len(task) < 2:
        raise SpecError(
            f"{path} holds 1 problem, and an interval needs at least 2 (a useful one 50 or more). "
            "Add problems."
        )
    if spec.lens != "logit" and len(task) < 4:
        raise SpecError(
            f"{path} holds {len(task)} problems; a lens is fitted on half of them and evaluated on "
            "the others, and an interval needs 2. Add problems, or choose lens='logit'."
        )
    missing = [problem.id for problem in task if problem.trace is None]
    if "given" in spec.traces and missing:
        raise SpecError(
            f"traces is 'given' and {len(missing)} of {len(task)} problems of {path} have no "
            f"'trace' (the first is {missing[0]!r}), so there is nothing to read. Add 'trace' to "
            "every line, or choose traces='own' or traces='decision'."
        )
    if spec.traces:
        return ReviseInputs(task=task, kinds=spec.traces)
    if missing:
        return ReviseInputs(task=task, kinds=("own",))
    return ReviseInputs(task=task, kinds=("given", "own") if embedded else ("given",))


def encode_inputs(spec: ReviseSpec, pair: ModelPair, inputs: ReviseInputs) -> ReviseInputs:
    """The inputs with every text tokenised and validated.

    Raises:
        ElicitError: A text does not fit the models, or the convention has no layer below deep.
    """
    spec.depth_convention().deep_from(pair.n_layers)
    task, limits = inputs.task, []
    prompts: list[list[int]] = []
    for name in ("base", "post"):
        side = pair.side(name)
        prompts = check_prompts(side, task, templated=spec.templated)
        limits += [] if side.n_positions is None else [side.n_positions]
    given: list[TokenRows] = []
    if "given" in inputs.kinds:
        given.append(TokenRows.of_task(pair.alignment, task, templated=spec.templated))
        _refuse_unreadable(pair, given[0], task, limit=min(limits, default=None))
    if "decision" in inputs.kinds:
        given.append(
            TokenRows(
                rows=tuple(map(tuple, prompts)),
                positions=tuple((len(prompt) - 1,) for prompt in prompts),
                problem=tuple(problem.id for problem in task),
                difficulty=tuple(problem.difficulty for problem in task),
                source="prompt",
            )
        )
    _refuse_thin(spec, pair, inputs, given)
    # The longest prompt sets the room for every problem: length must not vary with difficulty.
    left = min(limits, default=spec.max_new_tokens + 1) - max(map(len, prompts))
    return ReviseInputs(
        task=task,
        kinds=inputs.kinds,
        prompts=tuple(map(tuple, prompts)),
        stop_ids=pair.side("base").stop_ids if "own" in inputs.kinds else (),
        max_new_tokens=min(spec.max_new_tokens, left) if limits else spec.max_new_tokens,
        given=tuple(given),
    )


def _refuse_unreadable(pair: ModelPair, rows: TokenRows, task: Task, *, limit: int | None) -> None:
    """Refuse traces with unknown words, or longer than a model's context."""
    unread = [i for i, p in enumerate(task) if pair.alignment.unknown(str(p.trace))]
    if unread:
        raise SpecError(
            f"the trace of problem {task.problems[unread[0]].id!r} has a word that the tokenizer "
            f"cannot encode, so the text read would differ ({len(unread)} of {len(task)} problems "
            "are affected). Use words of the tokenizer's vocabulary."
        )
    long = [i for i, row in enumerate(rows.rows) if limit is not None and len(row) > limit]
    if long:
        raise SpecError(
            f"problem {task.problems[long[0]].id!r} has {len(rows.rows[long[0]])} tokens with "
            f"its trace and the models read {limit}, so it would be truncated ({len(long)} of "
            f"{len(task)} problems are too long). Shorten them, or choose traces='own'."
        )


def _refuse_thin(
    spec: ReviseSpec, pair: ModelPair, inputs: ReviseInputs, given: list[TokenRows]
) -> None:
    """Refuse an affine lens on so few tokens that it could fit any target.

    Texts still to be generated are checked later.
    """
    n = sum(rows.n_tokens for rows in given) // 2
    if spec.lens == "tuned" and "own" not in inputs.kinds and n < pair.d_model:
        raise SpecError(
            f"half of the problems have about {n} tokens to fit a lens and d_model is "
            f"{pair.d_model}, so an affine map could fit any target and its fit would be "
            "meaningless. Give many times as many tokens, or choose lens='bias'."
        )


def write_texts(
    spec: ReviseSpec,
    pair: ModelPair,
    inputs: ReviseInputs,
    name: str,
    *,
    execution: Execution = Execution(),
) -> ModelTexts:
    """Generate one model's texts after every prompt, as token rows."""
    texts = rollouts(
        pair.side(name),
        inputs.task,
        generation=Generation(
            stop_ids=inputs.stop_ids,
            temperature=spec.temperature,
            max_new_tokens=inputs.max_new_tokens,
            batch_size=_BATCH,
            templated=spec.templated,
        ),
        seed=spec.seed,
        execution=execution.scoped(f"texts/{name}"),
    )
    stop_ids = set(inputs.stop_ids)
    kept = [row for row in range(len(texts)) if not stop_ids.issuperset(texts.ids(row))]
    return ModelTexts(
        rows=TokenRows.of_rollouts(texts.select(kept), inputs.task, source=name)
        if len(kept) > 1
        else None,
        truncated=texts.truncated.double().mean().item(),
        empty=len(texts) - len(kept),
    )
