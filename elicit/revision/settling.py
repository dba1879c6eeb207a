"""Settling depth of both models' predictions, by token and layer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from elicit.pair import ModelPair
from elicit.results import Estimate, Result
from elicit.revision._layers import read_layers
from elicit.revision._readers import readers_of
from elicit.revision.convention import DepthConvention
from elicit.revision.depth import settling_depth
from elicit.revision.errors import RevisionError
from elicit.revision.lens import Lens, lens_name
from elicit.revision.profile import as_rows
from elicit.runs import Execution
from elicit.stats import Inference, joint_estimate, mean_by_problem
from elicit.texts import TokenRows, token_texts


@dataclass(frozen=True, eq=False, kw_only=True)
class Settling(Result):
    """Settling depths of base and post on the same tokens."""

    convention: DepthConvention
    """Definitions of settled and deep."""
    source: tuple[str, ...]
    """Writers of the tokens; each source is scored by both models and has separate intervals."""
    model: tuple[str, ...]
    """Models that read the tokens: base, post."""
    lens: tuple[str, ...]
    """Lens of each model."""
    layer: Int[Tensor, " layer"]
    """Number of layers before the reading: 0 is the embedding, the last is the final prediction."""
    deep_from: int
    """Smallest depth, layers run, at which settling is deep."""
    n_problems: Int[Tensor, " source"]
    """Number of problems of each source, the unit of every interval."""
    level: float
    """Nominal coverage of the intervals."""
    token: tuple[str, ...]
    """Token after each position, the target of the prediction."""
    source_of: Int[Tensor, " token"]
    """Index of each token's source."""
    row: Int[Tensor, " token"]
    """Row of each token within its source."""
    pos: Int[Tensor, " token"]
    """Position of each token's prediction in its row."""
    problem: tuple[str, ...]
    """Names of the problems."""
    problem_of: Int[Tensor, " token"]
    """Index of each token's problem."""
    jsd: Float[Tensor, "model layer token"]
    """Divergence of each layer's prediction from the model's final one, nats."""
    depth: Int[Tensor, "model token"]
    """Number of layers run when the prediction settles; n_layers: not before the last has run."""
    deep: Bool[Tensor, "model token"]
    """Whether the token settles deep."""
    profile: Annotated[Estimate, "source model layer"]
    """Mean divergence of each layer, nats, over equally weighted problems. Intervals are
    simultaneous over models and layers."""
    profile_diff: Annotated[Estimate, "source layer"]
    """Divergence, post minus base on the same tokens, nats; simultaneous over layers."""
    mean_depth: Annotated[Estimate, "source model"]
    """Mean settling depth, layers; simultaneous over models."""
    depth_diff: Annotated[Estimate, " source"]
    """Depth, post minus base on the same tokens, layers."""
    dtr: Annotated[Estimate, "source model"]
    """Deep-thinking ratio: share of tokens that settle deep; simultaneous over models. To compare
    models use `dtr_diff`: a ratio alone confounds style and skill, as length does."""
    dtr_diff: Annotated[Estimate, " source"]
    """Ratio, post minus base on the same tokens."""

    @property
    def n_layers(self) -> int:
        """Blocks of the models."""
        return len(self.layer) - 1


def settling(
    pair: ModelPair,
    rows: TokenRows | Sequence[TokenRows] | Sequence[str],
    *,
    convention: DepthConvention | None = None,
    lens: Lens | Mapping[str, Lens] | None = None,
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> Settling:
    """Layers at which both models' predictions settle, on the same tokens.

    Rows of several sources (for instance rollouts of base and of post) are each read by both
    models, which separates a change of the texts from a change of the reader.

    Args:
        pair: The two models.
        rows: Token rows, and where they are read; plain texts are read at every token but the
            first.
        convention: Definitions of settled and deep; None takes the paper's, corrected.
        lens: One lens, or one per model by name; None takes the logit lens.
        inference: Coverage and resamples of the intervals, and the seed.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        RevisionError: The model has too few layers for the convention, two sources have the same
            name, or a lens belongs to another model.
        TextError: There is nothing to read, or some logits are not a prediction.
        CaptureError: A model cannot read a row, or its logits are not its unembedding's.

    Source: Chen et al. 2026, arXiv:2602.13517; see `DepthConvention` for where we depart.
    """
    convention = convention or DepthConvention()
    deep_from = convention.deep_from(pair.n_layers)
    parts = _sources(pair, rows)
    readers = readers_of(pair, lens=lens)
    lenses = tuple(lens_name(reader.lens) for reader in readers)
    jsd = torch.cat(
        [
            read_layers(
                readers,
                part,
                norm=convention.norm,
                compare=False,
                only_jsd=True,
                execution=execution.scoped(part.source),
            )["jsd"]
            for part in parts
        ],
        dim=-1,
    )
    depth = settling_depth(jsd.transpose(0, 1), convention)
    deep = depth >= deep_from
    problem = tuple(dict.fromkeys(name for part in parts for name in part.problem))
    number = {name: i for i, name in enumerate(problem)}
    row, pos = (torch.cat(index) for index in zip(*(part.index for part in parts), strict=True))
    problem_of = torch.tensor(
        [number[part.problem[i]] for part in parts for i in part.index[0].tolist()]
    )
    source_of = torch.cat([torch.full((part.n_tokens,), i) for i, part in enumerate(parts)])
    following = [i for part in parts for i in part.next_ids()]
    text = token_texts(pair.alignment, following)
    estimates = [
        _estimates(
            jsd[..., here],
            depth[..., here],
            deep[..., here],
            problem_of[here],
            inference,
            identical=pair.identical,
        )
        for here in (source_of == i for i in range(len(parts)))
    ]
    return Settling(
        convention=convention,
        source=tuple(part.source for part in parts),
        model=tuple(reader.name for reader in readers),
        lens=lenses,
        layer=torch.arange(pair.n_layers + 1),
        deep_from=deep_from,
        n_problems=torch.tensor([len(set(part.problem)) for part in parts]),
        level=inference.level,
        token=tuple(text[i] for i in following),
        source_of=source_of,
        row=row,
        pos=pos,
        problem=problem,
        problem_of=problem_of,
        jsd=jsd,
        depth=depth,
        deep=deep,
        provenance=pair.provenance(
            seed=inference.seed,
            arguments={
                "rows": [part.digest for part in parts],
                "convention": str(convention),
                "lens": list(lenses),
                "level": inference.level,
                "n_resamples": inference.n_resamples,
            },
        ),
        **{name: Estimate.stack(each[name] for each in estimates) for name in estimates[0]},
    )


def _sources(
    pair: ModelPair, rows: TokenRows | Sequence[TokenRows] | Sequence[str]
) -> tuple[TokenRows, ...]:
    """Rows of each source; all of one kind, with unique names."""
    if isinstance(rows, TokenRows) or not all(isinstance(part, TokenRows) for part in rows):
        return (as_rows(pair, rows),)  # pyright: ignore[reportArgumentType]
    parts: tuple[TokenRows, ...] = tuple(rows)  # pyright: ignore[reportAssignmentType]
    names = [part.source for part in parts]
    if not parts or len(set(names)) < len(names):
        raise RevisionError(
            f"there are rows of {len(parts)} sources, named {names}, so their numbers could not "
            "be distinguished. Pass at least one, each with its own `source`."
        )
    return parts


def _estimates(
    jsd: Float[Tensor, "model layer token"],
    depth: Int[Tensor, "model token"],
    deep: Bool[Tensor, "model token"],
    problem_of: Int[Tensor, " token"],
    inference: Inference,
    *,
    identical: bool,
) -> dict[str, Estimate]:
    """Means and intervals of one source.

    Depths are whole layers, so problems may all be alike by chance: unless the models are the same,
    an interval then leaves room for unseen problems that lie a layer off.
    """
    present, group = problem_of.unique(return_inverse=True)
    # Problems come first: they are resampled.
    profile, depth, dtr = (
        mean_by_problem(values, group, len(present)).movedim(-1, 0) for values in (jsd, depth, deep)
    )
    values = {
        "profile": profile,
        "profile_diff": profile[:, 1] - profile[:, 0],
        "mean_depth": depth,
        "depth_diff": depth[:, 1] - depth[:, 0],
        "dtr": dtr,
        "dtr_diff": dtr[:, 1] - dtr[:, 0],
    }
    found = {}
    for name, each in values.items():
        certain = name.startswith("profile") or (identical and name.endswith("_diff"))
        found[name] = joint_estimate(
            each, inference=inference, span=None if certain else 1.0, proportion=name == "dtr"
        )
    found["dtr_diff"] = found["dtr_diff"].map(possible_difference)
    return found


def possible_difference(ends: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """A difference of shares, or an end of its interval, without what no share could reach."""
    return ends.clamp(-1.0, 1.0)
