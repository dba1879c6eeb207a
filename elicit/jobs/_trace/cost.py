"""What reading written thoughts costs, and what it can do without."""

from elicit.jobs._budget import Costing, Cut, halves
from elicit.jobs._forecast import Stage, prompt_tokens
from elicit.jobs._trace.further import BUDGETS
from elicit.jobs._trace.inputs import MODELS, TraceInputs
from elicit.jobs._trace.spec import ANCHORED, TraceSpec
from elicit.pair import ModelPair
from elicit.rollouts import Generation
from elicit.tasks import Task
from elicit.traces import RULES

LEAST = 20
"""Fewest problems that a budget keeps."""
_LANE = 8
"""Tokens of a lane, about: lead-in and candidates."""


def trace_stages(spec: TraceSpec, pair: ModelPair, inputs: TraceInputs) -> list[Stage]:
    """Writing, reading, altering, and what is asked for beside."""
    n, stages = len(inputs.task), []
    prompts = prompt_tokens(pair.side("base"), inputs.task, templated=spec.templated)
    longest = prompts / n + spec.max_new_tokens
    context, cached = longest - spec.max_new_tokens / 2, Generation().batch_size * longest
    if inputs.given is None:
        written = n * spec.max_new_tokens
        stages.append(
            Stage(
                name="writing thoughts",
                tokens=len(MODELS) * prompts,
                written=len(MODELS) * written,
                texts=len(MODELS) * n,
                context=context,
                cached=cached,
            )
        )
        grids, thoughts, cuts = 2, written, written / 20 + n
    else:
        texts = [item.text for item in inputs.given.items]
        thoughts = sum(len(pair.alignment.plain(text)) for text in texts)
        cuts = sum(1 + len(inputs.steps.ends(text)) for text in texts)
        grids = 1
    rows = prompts + thoughts
    kept = 4.0 * spec.max_tokens * pair.d_model * 3 * pair.n_layers
    stages.append(
        Stage(
            name="reading thoughts",
            tokens=2 * grids * (rows + _LANE * cuts),
            unembedded=2 * grids * (rows + _LANE * cuts),
            jobs=grids,
            nbytes=kept,
            context=rows / n,
        )
    )
    probes = 2 + len(spec.alterations) + 2 * any(p.edited is not None for p in inputs.task)
    stages.append(
        Stage(
            name="altering thoughts",
            tokens=2 * probes * (rows + _LANE * n),
            unembedded=2 * probes * _LANE * n,
            jobs=2,
            nbytes=kept,
            context=rows / n,
        )
    )
    if spec.samples:
        texts = len(MODELS) * n * spec.samples
        stages.append(
            Stage(
                name="sampling answers",
                tokens=len(MODELS) * prompts * spec.samples,
                written=texts * spec.max_new_tokens,
                texts=texts,
                context=context,
                cached=cached,
            )
        )
    if spec.cross:
        # Both models read every crossed row; each direction also grades what both write alone.
        crossed = len(RULES) * len(BUDGETS) * n
        stages.append(
            Stage(
                name="crossing texts",
                tokens=(2 + 2 * 2 * len(RULES) * len(BUDGETS)) * prompts,
                written=(2 * n + 2 * 2 * crossed) * spec.max_new_tokens,
                texts=2 * (2 * n + crossed),
                context=context,
                cached=cached,
            )
        )
    if spec.anchors:
        few = min(ANCHORED, n) / n
        texts = round(len(MODELS) * few * cuts * spec.anchors)
        masked = len(MODELS) * few * cuts * rows / n
        stages.append(
            Stage(
                name="resampling steps",
                tokens=texts * rows / n + masked,
                unembedded=masked,
                written=texts * spec.max_new_tokens,
                texts=texts,
                nbytes=kept,
                context=context,
                cached=cached,
            )
        )
    return stages


def trace_cuts(spec: TraceSpec, _pair: ModelPair, inputs: TraceInputs) -> list[Cut]:
    """Less that was asked for beside, fewer alterations, then fewer problems."""
    cuts = []
    if spec.anchors:
        cuts.append(Cut(options={"anchors": 0}, what="which steps decide was not asked"))
    if spec.cross:
        cuts.append(Cut(options={"cross": False}, what="no texts were crossed"))
    if spec.samples:
        cuts.append(Cut(options={"samples": 0}, what="no samples were drawn for coverage"))
    if spec.alterations:
        cuts.append(Cut(options={"alterations": ()}, what="only the changed conclusion was read"))
    return [*cuts, *halves(len(inputs.task), LEAST, "problems")]


def _asked(spec: TraceSpec, inputs: TraceInputs) -> tuple[Task, Generation] | None:
    """Thoughts that are written; given ones are read as they are."""
    if inputs.given is not None:
        return None
    how = Generation(max_new_tokens=spec.max_new_tokens, templated=spec.templated)
    return inputs.task, how


TRACE_COSTING = Costing(stages=trace_stages, cuts=trace_cuts, asked=_asked)
