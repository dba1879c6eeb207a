"""What reading every layer of both models costs, and what it can do without."""

from elicit.jobs._budget import Costing, Cut, halves
from elicit.jobs._forecast import Stage, prompt_tokens
from elicit.jobs._revise.inputs import WRITERS, ReviseInputs
from elicit.jobs._revise.spec import LENS_STEPS, ReviseSpec
from elicit.pair import ModelPair
from elicit.rollouts import Generation
from elicit.weights import changed_layers, one_embedding

ROWS = 4
"""Most rows whose full profile is kept."""
SHOWN = 512
"""Tokens of these rows together, about: a profile reads every layer of both models once more."""
LEAST = 4
"""Fewest problems that a budget keeps."""
LEAST_STEPS = 100
"""Fewest steps of fitting a lens that a budget keeps."""
STEP = 1024
"""Most tokens of an optimisation step of a lens, about."""


def revise_stages(spec: ReviseSpec, pair: ModelPair, inputs: ReviseInputs) -> list[Stage]:
    """Writing, fitting and reading."""
    n, stages = len(inputs.task), []
    lengths = [len(row) for part in inputs.given for row in part.rows]
    read = sum(part.n_tokens for part in inputs.given)
    prompts = prompt_tokens(pair.side("base"), inputs.task, templated=spec.templated)
    rows = sum(lengths)
    if "own" in inputs.kinds:
        texts = len(WRITERS) * n
        stages.append(
            Stage(
                name="writing texts",
                tokens=len(WRITERS) * prompts,
                written=texts * inputs.max_new_tokens,
                texts=texts,
                context=prompts / n + inputs.max_new_tokens / 2,
                cached=Generation().batch_size * (prompts / n + inputs.max_new_tokens),
            )
        )
        rows += len(WRITERS) * (prompts + n * inputs.max_new_tokens)
        read += texts * inputs.max_new_tokens
    if "own" in inputs.kinds:
        lengths += [round(prompts / n) + inputs.max_new_tokens] * (len(WRITERS) * n)
    context = sum(length**2 for length in lengths) / max(sum(lengths), 1)
    readings = pair.n_layers + 1
    # Below the first layer that differs one reading serves both models.
    logit = spec.lens == "logit"
    alike = min(changed_layers(pair), default=pair.n_layers) if logit and one_embedding(pair) else 0
    kept = 4.0 * spec.max_tokens * pair.d_model * readings + spec.memory * 2**20
    if spec.lens != "logit":
        steps = (spec.lens_steps or LENS_STEPS) * min(STEP, read / 2)
        stages.append(
            Stage(
                name="fitting lenses",
                tokens=2 * rows,
                unembedded=2 * 3 * steps * pair.n_layers,
                jobs=2,
                nbytes=kept,
                context=context,
            )
        )
        rows, read = rows / 2, read / 2
    stages.append(
        Stage(
            name="reading every layer",
            tokens=2 * rows,
            unembedded=read * (2 * readings - alike),
            jobs=2,
            nbytes=kept,
            context=context,
        )
    )
    shown = rows_shown(n, read / max(n, 1)) / max(n, 1)
    stages.append(
        Stage(
            name="profiles of some texts",
            tokens=2 * rows * shown,
            unembedded=2 * read * shown * readings,
            jobs=2,
            nbytes=kept,
            context=context,
        )
    )
    return stages


def rows_shown(n: int, tokens: float | int) -> int:
    """Number of rows whose full profile is kept: one at least.

    `n`: rows; `tokens`: that are read in one of them, on average.
    """
    return min(ROWS, n, max(1, int(SHOWN / max(tokens, 1))))


def revise_cuts(spec: ReviseSpec, _pair: ModelPair, inputs: ReviseInputs) -> list[Cut]:
    """Shorter fits of lenses, then fewer problems."""
    cuts, steps = [], spec.lens_steps or LENS_STEPS
    if spec.lens != "logit" and steps > LEAST_STEPS:
        what = f"lenses were fitted for {LEAST_STEPS} of {steps} steps"
        cuts.append(Cut(options={"lens_steps": LEAST_STEPS}, what=what))
    return [*cuts, *halves(len(inputs.task), LEAST, "problems")]


REVISE_COSTING = Costing(stages=revise_stages, cuts=revise_cuts)
