"""When the predictions of both models settle, token by token and layer by layer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from elicit.pair import ModelPair
from elicit.results import Result
from elicit.revision.convention import DepthConvention
from elicit.revision.depth import settling_depth
from elicit.revision.errors import RevisionError
from elicit.revision.lens import Lens
from elicit.revision.passes import run_pass
from elicit.revision.profile import as_traces, lens_name
from elicit.revision.sides import PassOptions, sides_of
from elicit.revision.states import read_places
from elicit.revision.summing import by_problem, over_problems
from elicit.revision.traces import Traces
from elicit.revision.words import words
from elicit.runs import Execution, ScopedCheckpoint
from elicit.stats import Inference


@dataclass(frozen=True, eq=False, kw_only=True)
class Settling(Result):
    """When base and post settle on what they predict, on the very same tokens."""

    convention: DepthConvention
    """What settled and deep mean."""
    source: tuple[str, ...]
    """Who wrote the tokens: each source is scored by both models and has intervals of its own."""
    model: tuple[str, ...]
    """The models that read them: base, post."""
    lens: tuple[str, ...]
    """Lens of each model."""
    layer: Int[Tensor, " layer"]
    """Blocks run before the reading: 0 reads the embedding, the last is the model's own."""
    deep_from: int
    """First layer at which settling is deep."""
    n_problems: Int[Tensor, " source"]
    """Problems of each source, the unit of every interval."""
    level: float
    """Nominal coverage of the intervals."""
    token: tuple[str, ...]
    """Token that follows each position read; the prediction is of it."""
    source_of: Int[Tensor, " token"]
    """Source of each token, as a number."""
    row: Int[Tensor, " token"]
    """Row of each token within its source."""
    pos: Int[Tensor, " token"]
    """Place of the position read in its row."""
    problem: tuple[str, ...]
    """Names of all problems."""
    problem_of: Int[Tensor, " token"]
    """Problem of each token, as a number."""
    jsd: Float[Tensor, "model layer token"]
    """Divergence of each layer's prediction from the model's own final one, nats."""
    depth: Int[Tensor, "model token"]
    """Layer at which the prediction settles; the number of layers: not before the end."""
    deep: Bool[Tensor, "model token"]
    """Whether that is deep."""
    profile: Float[Tensor, "source model layer"]
    """Mean divergence of each layer, nats; problems count alike."""
    profile_low: Float[Tensor, "source model layer"]
    """Lower end, jointly over models and layers."""
    profile_high: Float[Tensor, "source model layer"]
    """Upper end, jointly over models and layers."""
    profile_diff: Float[Tensor, "source layer"]
    """Divergence in post minus that in base, on the same tokens, nats."""
    profile_diff_low: Float[Tensor, "source layer"]
    """Lower end, jointly over layers."""
    profile_diff_high: Float[Tensor, "source layer"]
    """Upper end, jointly over layers."""
    mean_depth: Float[Tensor, "source model"]
    """Mean settling depth, layers."""
    mean_depth_low: Float[Tensor, "source model"]
    """Lower end, jointly over models."""
    mean_depth_high: Float[Tensor, "source model"]
    """Upper end, jointly over models."""
    depth_diff: Float[Tensor, " source"]
    """Depth in post minus that in base on the same tokens, layers."""
    depth_diff_low: Float[Tensor, " source"]
    """Lower end."""
    depth_diff_high: Float[Tensor, " source"]
    """Upper end."""
    dtr: Float[Tensor, "source model"]
    """Deep-thinking ratio: share of tokens that settle deep. Between models, read `dtr_diff`: a
    ratio by itself tells style and skill no more apart than length does."""
    dtr_low: Float[Tensor, "source model"]
    """Lower end, jointly over models."""
    dtr_high: Float[Tensor, "source model"]
    """Upper end, jointly over models."""
    dtr_diff: Float[Tensor, " source"]
    """Ratio in post minus that in base on the same tokens."""
    dtr_diff_low: Float[Tensor, " source"]
    """Lower end."""
    dtr_diff_high: Float[Tensor, " source"]
    """Upper end."""

    @property
    def n_layers(self) -> int:
        """Blocks of the models."""
        return len(self.layer) - 1

    def strip(self, *, row: int = 0, source: str | None = None) -> Any:
        """One row's text with the settling depth of every token under it (plotly).

        Args:
            row: Row within its source.
            source: Which source; the first if None.

        Raises:
            RevisionError: The row or source was not read.
        """
        from elicit.revision.figures import strip_figure

        return strip_figure(self, row=row, source=source)


def settling(
    pair: ModelPair,
    traces: Traces | Sequence[Traces] | Sequence[str],
    *,
    convention: DepthConvention | None = None,
    lens: Lens | Mapping[str, Lens] | None = None,
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> Settling:
    """When both models settle on what they predict, on the very same tokens.

    Given traces of several sources (say, base's own and post's own rollouts), each is read by both
    models: source × scorer tells a change of the texts from a change of the reader.

    Args:
        pair: The two models.
        traces: Rows and where they are read; plain texts are read at every token but the first.
        convention: What settled and deep mean; the paper's as corrected if None.
        lens: How layers are read: one lens, or one for each model by name; the logit lens if None.
        inference: Coverage and resamples of the intervals, and the seed.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        RevisionError: There is nothing to read, the model has too few layers for the convention,
            two sources have one name, a lens is another model's, or some logits are no prediction.
        CaptureError: A model cannot read a row, or its logits are not its head's.

    Source: Chen et al. 2026, arXiv:2602.13517; see `DepthConvention` for where we depart.
    """
    convention = convention or DepthConvention()
    deep_from = convention.deep_from(pair.n_layers)
    parts = _sources(pair, traces)
    sides = sides_of(pair, lens=lens)
    options = PassOptions(
        norm=convention.norm,
        between=False,
        budget=execution.memory,
        max_tokens=execution.max_tokens,
    )
    cells = execution.checkpoint
    found = [
        run_pass(
            sides,
            part,
            pad_id=pair.alignment.pad_id,
            n_layers=pair.n_layers,
            options=options,
            execution=Execution(
                checkpoint=ScopedCheckpoint(cells, part.source), progress=execution.progress
            ),
        )
        for part in parts
    ]
    jsd = torch.cat([each["jsd"] for each in found], dim=-1)
    depth = settling_depth(jsd.transpose(0, 1), convention)
    names = tuple(dict.fromkeys(problem for part in parts for problem in part.problem))
    number = {name: i for i, name in enumerate(names)}
    places = [read_places(part) for part in parts]
    problem_of = torch.cat(
        [
            torch.tensor([number[name] for name in part.problem])[row]
            for part, (row, _) in zip(parts, places, strict=True)
        ]
    )
    source_of = torch.cat([torch.full((part.n_tokens,), i) for i, part in enumerate(parts)])
    following = [i for part in parts for i in part.next_ids()]
    text = words(pair.alignment, following)
    deep = depth >= deep_from
    values = torch.cat([jsd, depth[:, None].double(), deep[:, None].double()], dim=1)
    told = [
        _told(values[..., source_of == i], problem_of[source_of == i], inference)
        for i in range(len(parts))
    ]
    return Settling(
        convention=convention,
        source=tuple(part.source for part in parts),
        model=tuple(side.name for side in sides),
        lens=tuple(lens_name(side.lens) for side in sides),
        layer=torch.arange(pair.n_layers + 1),
        deep_from=deep_from,
        n_problems=torch.tensor([len(set(part.problem)) for part in parts]),
        level=inference.level,
        token=tuple(text[i] for i in following),
        source_of=source_of,
        row=torch.cat([row for row, _ in places]),
        pos=torch.cat([pos for _, pos in places]),
        problem=names,
        problem_of=problem_of,
        jsd=jsd,
        depth=depth,
        deep=deep,
        provenance=pair.provenance(
            seed=inference.seed,
            arguments={
                "traces": [part.digest for part in parts],
                "convention": str(convention),
                "lens": [lens_name(side.lens) for side in sides],
                "level": inference.level,
                "n_resamples": inference.n_resamples,
            },
        ),
        **{name: torch.stack([each[name] for each in told]) for name in told[0]},
    )


def _sources(
    pair: ModelPair, traces: Traces | Sequence[Traces] | Sequence[str]
) -> tuple[Traces, ...]:
    """The traces of each source, all of one kind and with names of their own."""
    if isinstance(traces, Traces) or not all(isinstance(each, Traces) for each in traces):
        return (as_traces(pair, traces),)  # pyright: ignore[reportArgumentType]
    parts: tuple[Traces, ...] = tuple(traces)  # pyright: ignore[reportAssignmentType]
    names = [part.source for part in parts]
    if not parts or len(set(names)) < len(names):
        raise RevisionError(
            f"there are traces of {len(parts)} sources, named {names}, so their numbers could not "
            "be told apart. Pass at least one, each with its own `source`."
        )
    return parts


def _told(values: Tensor, problem_of: Tensor, inference: Inference) -> dict[str, Tensor]:
    """Means and intervals of one source; rows of `values` are the layers, depth and deep."""
    own, group = problem_of.unique(return_inverse=True)
    each = by_problem(values, group, len(own))
    apart = each[1] - each[0]
    named = {
        "profile": each[:, :-2],
        "profile_diff": apart[:-2],
        "mean_depth": each[:, -2],
        "depth_diff": apart[-2],
        "dtr": each[:, -1],
        "dtr_diff": apart[-1],
    }
    found: dict[str, Tensor] = {}
    for name, part in named.items():
        ends = over_problems(part, inference=inference)
        for end, value in zip(("", "_low", "_high"), ends, strict=True):
            found[f"{name}{end}"] = value
    return found
