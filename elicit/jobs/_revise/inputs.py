"""From a specification and its models to texts that are worth reading."""

from dataclasses import dataclass

from elicit import organisms
from elicit.jobs._revise.spec import ReviseSpec
from elicit.jobs._spec import SpecError
from elicit.pair import ModelPair
from elicit.revision import Traces
from elicit.rollouts import Generation, check_prompts, rollouts
from elicit.runs import Execution
from elicit.tasks import Task, load_task

OWN_PROBLEMS = 60
"""Problems of an embedded pair that are used when no number is given."""
_BATCH = 32
WRITERS = ("base", "post")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is read, as far as it is known before a model has written anything."""

    task: Task
    """The problems."""
    kinds: tuple[str, ...]
    """Kinds of traces, in their order."""
    prompts: tuple[tuple[int, ...], ...] = ()
    """Token ids of the prompts that the models go on from."""
    stops: tuple[int, ...] = ()
    """Ids that end a text."""
    room: int = 0
    """Tokens that every text may have."""
    given: tuple[Traces, ...] = ()
    """Traces that no model has to write first."""


@dataclass(frozen=True, kw_only=True)
class Written:
    """What a model wrote to every problem."""

    traces: Traces | None
    """Its texts; None where it wrote nothing to any problem."""
    truncated: float
    """Share of texts that were cut before the model ended them."""
    empty: int
    """Problems to which it wrote nothing but the end."""


def refuse_early(spec: ReviseSpec) -> Asked:
    """Refuse problems that cannot serve, before a model is loaded for them.

    Args:
        spec: What to do.

    Raises:
        ElicitError: The file is missing or wrong, or its problems lack what is to be read.
    """
    own = spec.problems is None
    path = organisms.resolve(str(spec.pair)).problems if own else spec.problems
    if path is None or not path.is_file():
        raise SpecError(
            f"problems are to be read from {path}, which is no file, so there is nothing to read. "
            "Check the path."
        )
    task = load_task(path, name="problems")
    n = spec.limit or (OWN_PROBLEMS if own else len(task))
    if n < len(task):
        task = task.subset(n, spec.seed)
    if len(task) < 2:
        raise SpecError(
            f"{path} holds 1 problem, and an interval needs at least 2 (a useful one 50 or more). "
            "Add problems."
        )
    if spec.lens != "logit" and len(task) < 4:
        raise SpecError(
            f"{path} holds {len(task)} problems; a lens is fitted on half of them and read on the "
            "others, and an interval needs 2. Add problems, or choose --lens logit."
        )
    missing = [problem.id for problem in task if problem.trace is None]
    if "given" in spec.traces and missing:
        raise SpecError(
            f"given traces are to be read and {len(missing)} of {len(task)} problems of {path} "
            f"have none (the first is {missing[0]!r}), so there is nothing to read of them. Add "
            "'trace' to every line, or choose --traces own or --traces decision."
        )
    if spec.traces:
        return Asked(task=task, kinds=spec.traces)
    if missing or spec.templated:
        return Asked(task=task, kinds=("own",))
    return Asked(task=task, kinds=("given", "own") if own else ("given",))


def asked_of(spec: ReviseSpec, pair: ModelPair, asked: Asked) -> Asked:
    """The same with every text in token ids, of which nothing is left to refuse.

    Args:
        spec: What to do.
        pair: The two models.
        asked: The problems.

    Raises:
        ElicitError: A text does not fit the models, or the convention has no layer below deep.
    """
    spec.depth_convention().deep_from(pair.n_layers)
    task, limits = asked.task, []
    prompts: list[list[int]] = []
    for name in ("base", "post"):
        side = pair.side(name)
        prompts = check_prompts(side, task, templated=spec.templated)
        limits += [] if side.n_positions is None else [side.n_positions]
    given: list[Traces] = []
    if "given" in asked.kinds:
        given.append(Traces.of_task(pair.alignment, task))
        _refuse_unreadable(
            given[0], task, limit=min(limits, default=None), unknown=pair.tokenizer.unk_token_id
        )
    if "decision" in asked.kinds:
        given.append(
            Traces(
                rows=tuple(map(tuple, prompts)),
                positions=tuple((len(prompt) - 1,) for prompt in prompts),
                problem=tuple(problem.id for problem in task),
                difficulty=tuple(problem.difficulty for problem in task),
                source="prompt",
            )
        )
    _refuse_thin(spec, pair, asked, given)
    # As much as the longest prompt leaves, for every problem: room must not go with difficulty.
    left = min(limits, default=spec.max_new_tokens + 1) - max(map(len, prompts))
    return Asked(
        task=task,
        kinds=asked.kinds,
        prompts=tuple(map(tuple, prompts)),
        stops=pair.side("base").stop_ids if "own" in asked.kinds else (),
        room=min(spec.max_new_tokens, left) if limits else spec.max_new_tokens,
        given=tuple(given),
    )


def _refuse_unreadable(traces: Traces, task: Task, *, limit: int | None, unknown: object) -> None:
    """Refuse traces of words that are unknown, or that run past the last position of a model."""
    strange = [i for i, row in enumerate(traces.rows) if unknown is not None and unknown in row]
    if strange:
        raise SpecError(
            f"the trace of problem {task.problems[strange[0]].id!r} has a word that the tokenizer "
            f"does not know, so another text would be read ({len(strange)} of {len(task)} problems "
            "have one). Write it with words of the tokenizer."
        )
    long = [i for i, row in enumerate(traces.rows) if limit is not None and len(row) > limit]
    if long:
        raise SpecError(
            f"problem {task.problems[long[0]].id!r} has {len(traces.rows[long[0]])} tokens with "
            f"its trace and the models read {limit}, so its end could not be read ({len(long)} of "
            f"{len(task)} problems are too long). Shorten them, or choose --traces own."
        )


def _refuse_thin(spec: ReviseSpec, pair: ModelPair, asked: Asked, given: list[Traces]) -> None:
    """Refuse an affine lens on fewer tokens than it could send anywhere it likes.

    Texts that the models still have to write are not known yet; what they allow is told later.
    """
    n = sum(traces.n_tokens for traces in given) // 2
    if spec.lens == "tuned" and "own" not in asked.kinds and n < pair.d_model:
        raise SpecError(
            f"half of the problems have about {n} tokens to learn a lens from and the stream is "
            f"{pair.d_model} wide, so an affine map could send each state where it likes and its "
            "fit would show nothing. Give many times as many tokens, or choose --lens bias."
        )


def write_texts(
    spec: ReviseSpec,
    pair: ModelPair,
    asked: Asked,
    name: str,
    *,
    execution: Execution = Execution(),
) -> Written:
    """What one of the models writes after every prompt, as traces.

    Args:
        spec: Temperature and seed.
        pair: The two models.
        asked: Prompts, the ids that end a text, and how long one may be.
        name: `base` or `post`.
        execution: Tokens per forward pass, memory, checkpoint and progress.
    """
    found = rollouts(
        pair.side(name),
        asked.task,
        generation=Generation(
            stop_ids=asked.stops,
            temperature=spec.temperature,
            max_new_tokens=asked.room,
            batch_size=_BATCH,
            templated=spec.templated,
        ),
        seed=spec.seed,
        execution=execution.scoped(f"texts/{name}"),
    )
    stops = set(asked.stops)
    kept = [row for row in range(len(found)) if not stops.issuperset(found.ids(row))]
    return Written(
        traces=Traces.of_rollouts(found.select(kept), asked.task, source=name)
        if len(kept) > 1
        else None,
        truncated=found.truncated.double().mean().item(),
        empty=len(found) - len(kept),
    )
