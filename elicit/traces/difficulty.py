"""How far thoughts lie from what a model would write: instruction-following difficulty."""

from collections import defaultdict
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.pair import ModelPair, Side
from elicit.runs import Execution
from elicit.stats import Inference
from elicit.surroundings import guarded
from elicit.texts import AnswerForm, EncodedText, Followed, mean_losses
from elicit.traces._encoded import encoded
from elicit.traces.measures import Measures, Metric, measured
from elicit.traces.reading import Reading, Readings

ASK = "\nWhat was the question?\n"
"""Text between a thought and the prompt that it is to give away."""
_METRICS = (
    Metric(
        name="loss with the prompt",
        unit="nats",
        meaning="the model would not have written these thoughts to their prompts",
    ),
    Metric(
        name="loss alone",
        unit="nats",
        meaning="the model would not have written these thoughts at all",
    ),
    Metric(
        name="log IFD",
        unit="nats",
        meaning="the prompt does not help to write the thought: loss with it less loss alone; the "
        "published ratio of perplexities is its exponential, and 0 is its bound of 1",
    ),
    Metric(
        name="prompt loss",
        unit="nats",
        meaning="the model would not have written these prompts",
    ),
    Metric(
        name="prompt loss after the thought",
        unit="nats",
        meaning="nor after their thoughts and the request to name the question",
    ),
    Metric(
        name="log r-IFD",
        unit="nats",
        meaning="the thought does not help to name its prompt",
    ),
)


@dataclass(frozen=True, eq=False, kw_only=True)
class Difficulty(Measures):
    """How far the thoughts that each model reads lie from what it would write.

    Logarithms of the published ratios, because those are skewed. To ask how far post's thoughts lie
    from the base, let both models read post's.
    """


@guarded
def difficulty(
    pair: ModelPair,
    readings: Readings,
    *,
    form: AnswerForm,
    ask: str = ASK,
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> Difficulty:
    """Instruction-following difficulty of thoughts and its reverse.

    The half with the prompt is on the ledger already. A text that stands alone begins with bos;
    where the pair has none, its first token is not scored in either half.

    Args:
        pair: The two models.
        readings: Base's reading and post's.
        form: How prompts were read, as in the ledger.
        ask: Text between a thought and its prompt, for the reverse.
        inference: Coverage, resamples and seed.
        execution: Tokens per forward pass, checkpoint and progress.

    Source: IFD of Li et al. 2024 (arXiv:2308.12032) and r-IFD of Li et al. 2024 (arXiv:2402.10110):
        PPL(y|x) / PPL(y) and PPL(x|y) / PPL(x).
    """
    values: dict[str, dict[str, list[float]]] = {m.name: defaultdict(list) for m in _METRICS}
    for reading in readings.both:
        found = _of_reading(pair.side(reading.model), reading, form, ask, execution)
        for name, each in found.items():
            values[name][reading.model] = each.tolist()
    fields = measured(
        _METRICS,
        readings.tabled(values),
        problem=readings.problem,
        inference=inference,
        provenance=pair.provenance(
            inference.seed,
            {"question": "difficulty", "ask": ask, "level": inference.level},
            task_digests=readings.digests,
        ),
    )
    return Difficulty(**fields)  # pyright: ignore[reportArgumentType]


def _of_reading(
    side: Side, reading: Reading, form: AnswerForm, ask: str, execution: Execution
) -> dict[str, Float[Tensor, " thought"]]:
    book, alignment = reading.ledger, side.alignment
    rows = encoded(side, reading, form)
    bos = () if alignment.bos_id is None or not alignment.adds_bos else (alignment.bos_id,)
    # Without bos the first token has no prediction where the text stands alone.
    skipped = 0 if bos else 1
    with_prompt = torch.stack(
        [
            -book.log_prob[reading.scorer, book.tokens_of(i)][skipped:].double().mean()
            for i in range(len(book))
        ]
    )
    alone = mean_losses(
        side,
        [Followed(before=bos or row.ids[row.start :][:1], after=_text(row)[skipped:])
         for row in rows],
        key=f"difficulty/{reading.model}/alone",
        execution=execution,
    )  # fmt: skip
    prompt = -book.prompt_log_prob[reading.scorer] / (book.n_prompt - 1)
    named = mean_losses(
        side,
        [_reversed(side, row, item.text, ask, bos)
         for row, item in zip(rows, reading.thoughts.items, strict=True)],
        key=f"difficulty/{reading.model}/reversed",
        execution=execution,
    )  # fmt: skip
    return {
        "loss with the prompt": with_prompt,
        "loss alone": alone,
        "log IFD": with_prompt - alone,
        "prompt loss": prompt,
        "prompt loss after the thought": named,
        "log r-IFD": named - prompt,
    }


def _text(row: EncodedText) -> tuple[int, ...]:
    return tuple(row.ids[row.start :])


def _reversed(side: Side, row: EncodedText, text: str, ask: str, bos: tuple[int, ...]) -> Followed:
    """The prompt after its thought; its first token, which the ledger does not score, unscored."""
    prompt = tuple(row.ids[: row.start])
    before = tuple(side.alignment.plain(f"{text}{ask}"))
    first = () if bos and prompt[:1] == bos else prompt[:1]
    return Followed(before=(*before, *first), after=prompt[1:])
