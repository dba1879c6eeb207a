"""Do some heads attend to single earlier steps of a thought, or only to what was written last?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.capture import capture
from elicit.pair import ModelPair, Side, device_of, pad
from elicit.results import Estimate, Result, digest_json
from elicit.runs import Execution
from elicit.sites import pattern
from elicit.stats import Inference, problem_mean
from elicit.surroundings import guarded
from elicit.texts import AnswerForm, EncodedText
from elicit.traces._encoded import encoded
from elicit.traces.errors import TraceError
from elicit.traces.reading import Readings


@dataclass(frozen=True, eq=False, kw_only=True)
class Receivers(Result):
    """How far each head's attention to earlier steps picks single steps, beside mere recency.

    No verdict: attention says where a head looks, not what is used. A head is a receiver at most
    where its concentration lies above that of its own recency.
    """

    reading: tuple[str, ...]
    """Whose heads, each on the texts that it reads."""
    layer: Int[Tensor, " layer"]
    """Model layer of each row."""
    head: Int[Tensor, " head"]
    """Number of each head."""
    concentration: Annotated[Estimate, "reading layer head"]
    """Largest share of one step in the attention that later steps give to earlier ones, mean over
    texts; intervals of each head alone."""
    by_recency: Float[Tensor, "reading layer head"]
    """The same if the head attended to every step as it does on average at that distance."""
    above_recency: Annotated[Estimate, "reading layer head"]
    """Difference of the two."""
    within_one: Float[Tensor, "reading layer head"]
    """Share of the attention to earlier steps that goes to the step just before."""
    n_texts: Int[Tensor, " reading"]
    """Texts that are long enough."""
    gap: int
    """Least distance, in steps, at which attention counts."""


@guarded
def receivers(
    pair: ModelPair,
    readings: Readings,
    *,
    form: AnswerForm,
    gap: int = 1,
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> Receivers:
    """Attention of later steps to earlier ones, by head, and its recency.

    Attention is averaged over the tokens of a later step and summed over those of an earlier one;
    an earlier step's score is its mean over all steps that come `gap` or more after it.

    Args:
        pair: The two models.
        readings: Base's reading and post's; each model's heads read its own.
        form: How the answer is asked for, as in the ledgers.
        gap: Least distance in steps. Larger gaps leave recency out, and short texts.
        inference: Coverage and resamples.
        execution: Checkpoint and progress.

    Raises:
        TraceError: The gap is below 1, or fewer than two texts have two steps that count.

    Source: Bogdan et al. 2025 (arXiv:2506.19143), with the largest share in place of a kurtosis,
        which grows with the number of steps; the recency control is ours.
    """
    if gap < 1:
        raise TraceError(
            f"gap is {gap}, so a step would be counted as looking at itself. Pass 1 or more."
        )
    found: list[dict[str, Tensor]] = []
    for reading in readings.both:
        side = pair.side(reading.model)  # pyright: ignore[reportArgumentType]
        rows = [r for r in encoded(side, reading, form) if len(r.text_at) - 1 >= gap + 2]
        if len(rows) < 2:
            raise TraceError(
                f"{len(rows)} of the {len(reading.ledger)} texts that {reading.model} reads have "
                f"the {gap + 2} steps that a gap of {gap} needs, and intervals are over problems. "
                "Pass a smaller gap, or longer texts."
            )
        matrices = _attention(side, rows, execution.scoped(f"receivers/{reading.model}"))
        found.append(_scores(matrices, gap) | {"n": torch.tensor(len(rows))})
    shape = found[0]["concentration"].shape[1:]

    def estimated(name: str) -> Estimate:
        return Estimate.stack(
            Estimate.of_intervals(
                problem_mean(each, inference=inference) for each in one[name].flatten(1).T
            ).map(lambda ends: ends.view(shape))
            for one in found
        )

    return Receivers(
        provenance=pair.provenance(
            inference.seed,
            {"question": "receivers", "gap": gap, "level": inference.level},
            task_digests={r.model: r.thoughts.digest for r in readings.both},
        ),
        reading=("base", "post"),
        layer=torch.arange(shape[0]),
        head=torch.arange(shape[1]),
        concentration=estimated("concentration"),
        by_recency=torch.stack([one["by_recency"].mean(0) for one in found]),
        above_recency=estimated("above_recency"),
        within_one=torch.stack([one["within_one"].mean(0) for one in found]),
        n_texts=torch.stack([one["n"] for one in found]),
        gap=gap,
    )


def _attention(
    side: Side, rows: Sequence[EncodedText], execution: Execution
) -> list[Float[Tensor, "layer head step step"]]:
    """Mean attention of each step's tokens to each step, `[layer head later earlier]`, by text.

    Patterns are read a layer and a text at a time: all at once they are the square of the text.
    """
    n_layers = len(list(side.bridge.blocks))  # pyright: ignore[reportArgumentType]
    device = device_of(side.bridge)
    found = []
    execution.progress.start(len(rows), "reading attention")
    try:
        for row in rows:

            def run(row: EncodedText = row) -> dict[str, Tensor]:
                ids = pad([list(row.ids)], pad_id=side.alignment.pad_id, padding="right")
                of_step = _of_step(row).to(device)
                layers = []
                for layer in range(n_layers):
                    site = pattern(layer)
                    with torch.no_grad():
                        seen = capture(side.bridge, ids.to(device), sites=[site]).at[site][0]
                    mean = of_step / of_step.sum(-1, keepdim=True).clamp(min=1)
                    layers.append((mean @ seen.float() @ of_step.T).double().cpu())
                return {"attention": torch.stack(layers)}

            key = digest_json([row.ids, row.start, row.text_at])[:16]
            cell = execution.checkpoint.get_or_compute(key, run)
            found.append(cell["attention"])
            execution.progress.advance(1)
    finally:
        execution.progress.stop()
    return found


def _of_step(row: EncodedText) -> Float[Tensor, "step token"]:
    """1 at the tokens of each step."""
    ends = [row.start + at for at in row.text_at]
    marks = torch.zeros(len(ends) - 1, len(row.ids))
    for step, (low, high) in enumerate(zip(ends, ends[1:], strict=False)):
        marks[step, low:high] = 1.0
    return marks


def _scores(
    matrices: Sequence[Float[Tensor, "layer head step step"]], gap: int
) -> dict[str, Tensor]:
    """Of every text and head: concentration, that of its recency, and the step just before."""
    longest = max(each.shape[-1] for each in matrices)
    shape = matrices[0].shape[:2]
    sums, counts = torch.zeros(*shape, longest, dtype=torch.float64), torch.zeros(longest)
    for each in matrices:
        for apart in range(1, each.shape[-1]):
            along = each.diagonal(-apart, dim1=-2, dim2=-1)
            sums[..., apart] += along.sum(-1)
            counts[apart] += along.shape[-1]
    profile = sums / counts.clamp(min=1)
    out: dict[str, list[Tensor]] = {"concentration": [], "by_recency": [], "within_one": []}
    for each in matrices:
        n = each.shape[-1]
        place = torch.arange(n)
        apart = place[:, None] - place[None]
        even = profile[..., apart.clamp(min=0)]
        out["concentration"].append(_largest_share(each, apart >= gap))
        out["by_recency"].append(_largest_share(even, apart >= gap))
        earlier = (each * (apart >= 1)).sum((-2, -1))
        just = each.diagonal(-1, dim1=-2, dim2=-1).sum(-1)
        out["within_one"].append(just / earlier.clamp(min=1e-30))
    found = {name: torch.stack(values) for name, values in out.items()}
    return found | {"above_recency": found["concentration"] - found["by_recency"]}


def _largest_share(
    attention: Float[Tensor, "layer head step step"], counted: Tensor
) -> Float[Tensor, "layer head"]:
    """Largest share of one earlier step in the scores of all of them."""
    n_later = counted.sum(0)
    score = (attention * counted).sum(-2)[..., n_later > 0] / n_later[n_later > 0]
    return score.amax(-1) / score.sum(-1).clamp(min=1e-30)
