"""Top activations of features: examples, tokens and rates."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from einops import rearrange, repeat
from jaxtyping import Float, Int
from torch import Tensor

from elicit.features._reading import Rows, blocks, check_sae, name_of, rows_of, sae_arguments
from elicit.features._words import words_of
from elicit.features.errors import FeatureError
from elicit.features.sae import Sae
from elicit.pair import Alignment, ModelPair, Side
from elicit.results import Result, digest_json
from elicit.runs import Execution


@dataclass(frozen=True, eq=False, kw_only=True)
class FeatureTable(Result):
    """Where features are most active: tokens, contexts and activation rates."""

    sae: str
    """Name of the SAE."""
    site: str
    """Site that was read."""
    model: str
    """Model that was read."""
    n_tokens: int
    """Tokens read; first and special tokens do not count."""
    example: tuple[str, ...]
    """Context of a large activation, with its token between ⟦ and ⟧."""
    of: Int[Tensor, " example"]
    """Feature of each example."""
    rank: Int[Tensor, " example"]
    """Rank among the feature's largest activations, from 0."""
    activation: Float[Tensor, " example"]
    """Activation at the token."""
    row: Int[Tensor, " example"]
    """Row of the text."""
    pos: Int[Tensor, " example"]
    """Position of the token in its row."""
    feature: Int[Tensor, " feature"]
    """Index of each feature."""
    density: Float[Tensor, " feature"]
    """Share of tokens at which it is active."""
    max_act: Float[Tensor, " feature"]
    """Its largest activation."""
    tokens: tuple[str, ...]
    """Tokens with the largest mean activation of each feature."""
    link: tuple[str, ...]
    """Neuronpedia page of each feature; empty if the SAE names none."""

    def examples(self, feature: int) -> tuple[str, ...]:
        """A feature's examples, largest activation first.

        Raises:
            FeatureError: It is not in the table.
        """
        if feature not in self.feature.tolist():
            raise FeatureError(
                f"feature {feature} is not in the table, which has {self.feature.tolist()}. Make "
                "a table with this feature."
            )
        return tuple(
            text for text, of in zip(self.example, self.of.tolist(), strict=True) if of == feature
        )


def feature_table(
    pair: ModelPair,
    sae: Sae,
    features: Sequence[int],
    rows: Sequence[Sequence[int]],
    *,
    model: str,
    n_examples: int = 8,
    around: int = 8,
    execution: Execution = Execution(),
) -> FeatureTable:
    """Where features are most active in texts, in one pass.

    Args:
        pair: Base and post.
        sae: SAE of the features.
        features: Indices of features.
        rows: Token ids of each row.
        model: Which model is read, `base` or `post`.
        n_examples: Examples per feature, at most one per row.
        around: Tokens shown before and after.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        FeatureError: The SAE has another width, site or model, a feature is out of range, or no
            example is requested.
    """
    side, tokens = check_sae(pair, sae, model), rows_of(pair, rows)
    subset = tuple(int(i) for i in features)
    sae.check_features(subset)
    if n_examples < 1 or around < 0:
        raise FeatureError(
            f"n_examples is {n_examples} and around is {around}, so nothing would be shown. Pass "
            "n_examples of 1 or more, and around of 0 or more."
        )
    # More than are shown, because several may be in one row.
    top = top_activations(side, sae, tokens, subset, n=8 * n_examples, execution=execution)
    examples: list[tuple[int, int, float, int]] = []
    for i, feature in enumerate(subset):
        seen: list[int] = []
        for value, index in zip(top.value[i].tolist(), top.index[i].tolist(), strict=True):
            row = int(tokens.row[index])
            if value > 0 and row not in seen and len(seen) < n_examples:
                examples.append((feature, len(seen), value, index))
                seen.append(row)
    of, rank, activation, where = zip(*examples, strict=True) if examples else ((), (), (), ())
    at = torch.tensor(where, dtype=torch.long)
    page = sae.metadata.get("neuronpedia_id")
    return FeatureTable(
        sae=sae.name,
        site=str(sae.site),
        model=name_of(pair, model),
        n_tokens=int(tokens.counted.sum()),
        example=tuple(_context(side.alignment, tokens, index, around) for index in where),
        of=torch.tensor(of, dtype=torch.long),
        rank=torch.tensor(rank, dtype=torch.long),
        activation=torch.tensor(activation, dtype=torch.float32),
        row=tokens.row[at],
        pos=tokens.pos[at],
        feature=torch.tensor(subset),
        density=top.n_active.double() / int(tokens.counted.sum()),
        max_act=top.value[:, 0],
        tokens=tuple(
            " ".join(words_of(side.alignment, [t for t in line[:n_examples] if t >= 0]))
            for line in top.token.tolist()
        ),
        link=tuple(f"https://neuronpedia.org/{page}/{i}" if page else "" for i in subset),
        provenance=pair.provenance(
            arguments={
                **sae_arguments(sae),
                "model": model,
                "features": list(subset),
                "rows": digest_json(tokens.rows),
                "n_examples": n_examples,
                "around": around,
            }
        ),
    )


def _context(alignment: Alignment, tokens: Rows, index: int, around: int) -> str:
    """A token in context."""
    row, pos = tokens.rows[int(tokens.row[index])], int(tokens.pos[index])
    low, high = max(pos - around, 0), pos + around + 1
    words = list(words_of(alignment, row[low:high]))
    words[pos - low] = f"⟦{words[pos - low]}⟧"
    return f"{'… ' * (low > 0)}{' '.join(words)}{' …' * (high < len(row))}"


@dataclass(frozen=True, eq=False, kw_only=True)
class TopActivations:
    """Top activations of the requested features."""

    value: Float[Tensor, "feature rank"]
    """Largest activations, largest first; 0 where a feature is active less often."""
    index: Int[Tensor, "feature rank"]
    """Token index of each."""
    token: Int[Tensor, "feature rank"]
    """Token ids with the largest mean activation, -1 where a feature is active on fewer."""
    token_mean: Float[Tensor, "feature rank"]
    """Mean activation on each of these ids."""
    n_active: Int[Tensor, " feature"]
    """Tokens at which a feature is active."""
    row_max: Float[Tensor, "row feature"]
    """Largest activation in each row; 0 where no token of it counts."""


def top_activations(
    side: Side,
    sae: Sae,
    tokens: Rows,
    features: Sequence[int],
    *,
    n: int,
    execution: Execution = Execution(),
) -> TopActivations:
    """Where features are most active in texts."""
    subset = list(features)
    ids, kind = tokens.ids.unique(return_inverse=True)
    value = torch.zeros(len(subset), n)
    index = torch.zeros(len(subset), n, dtype=torch.long)
    sums = torch.zeros(len(ids), len(subset), dtype=torch.float64)
    n_active = torch.zeros(len(subset), dtype=torch.long)
    row_max = torch.zeros(len(tokens.rows), len(subset))
    for block in blocks(side, sae, tokens, execution=execution):
        acts = block.acts[:, subset].float().cpu()
        n_active += (acts != 0).sum(0)
        sums.index_add_(0, kind[block.index], acts.double())
        rows = repeat(tokens.row[block.index], "token -> token feature", feature=len(subset))
        row_max.scatter_reduce_(0, rows, acts, "amax")
        both = torch.cat([value, rearrange(acts, "token feature -> feature token")], dim=1)
        numbers = torch.cat([index, block.index.expand(len(subset), -1)], dim=1)
        order = _ranked(both, numbers)[:, :n]
        value, index = both.gather(1, order), numbers.gather(1, order)
    count = kind[tokens.counted].bincount(minlength=len(ids))
    mean = (sums / count.clamp(min=1)[:, None]).T.float()
    best = mean.sort(dim=1, descending=True, stable=True)
    short = max(n - len(ids), 0)
    token_mean = torch.nn.functional.pad(best.values[:, :n], (0, short))
    best_ids = torch.nn.functional.pad(ids[best.indices[:, :n]], (0, short))
    return TopActivations(
        value=value,
        index=index,
        token=torch.where(token_mean > 0, best_ids, -1),
        token_mean=token_mean,
        n_active=n_active,
        row_max=row_max,
    )


def _ranked(value: Tensor, index: Tensor) -> Tensor:
    """Order by value, largest first, ties by index, so that the size of a chunk changes nothing."""
    by_index = index.argsort(dim=1, stable=True)
    order = value.gather(1, by_index).argsort(dim=1, descending=True, stable=True)
    return by_index.gather(1, order)
