"""What features are: how often they are active, where most, and where to read more of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.features.errors import FeatureError
from elicit.features.reading import On, Rows, checked, rows_of, told_of
from elicit.features.sae import Sae
from elicit.features.tops import find_tops
from elicit.features.words import words_of
from elicit.pair import ModelPair
from elicit.results import Result, digest_json
from elicit.runs import Execution


@dataclass(frozen=True, eq=False, kw_only=True)
class FeatureTable(Result):
    """Where some features are most active, in words."""

    sae: str
    """Name of the SAE."""
    site: str
    """Where it was read."""
    model: str
    """Model that was read."""
    n_tokens: int
    """Tokens read; first and special ones do not count."""
    example: tuple[str, ...]
    """Text around a large activation, its token between ⟦ and ⟧."""
    of: Int[Tensor, " example"]
    """Feature of each example."""
    rank: Int[Tensor, " example"]
    """Place among the feature's largest activations, from 0."""
    activation: Float[Tensor, " example"]
    """Activation at the token."""
    row: Int[Tensor, " example"]
    """Row of the text."""
    pos: Int[Tensor, " example"]
    """Place of the token in its row."""
    feature: Int[Tensor, " feature"]
    """Number of each feature."""
    density: Float[Tensor, " feature"]
    """Share of tokens at which it is active."""
    max_act: Float[Tensor, " feature"]
    """Its largest activation."""
    tokens: tuple[str, ...]
    """Of each feature, the tokens with the largest mean activation."""
    link: tuple[str, ...]
    """Of each feature, its page at Neuronpedia; empty where the SAE names none."""

    def examples(self, feature: int) -> tuple[str, ...]:
        """A feature's examples, the largest activation first.

        Args:
            feature: Its number.

        Raises:
            FeatureError: It is not in the table.
        """
        if feature not in self.feature.tolist():
            raise FeatureError(
                f"feature {feature} is not in the table, which has {self.feature.tolist()}. Make "
                "a table of it."
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
    on: On,
    n_examples: int = 8,
    around: int = 8,
    execution: Execution = Execution(),
) -> FeatureTable:
    """Where features are most active in texts, in one pass.

    Args:
        pair: Base and post.
        sae: Whose features.
        features: Which features.
        rows: Token ids of texts.
        on: Which model is read.
        n_examples: Examples of each feature, at most one a row.
        around: Tokens shown on either side.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        FeatureError: The SAE is of another width, site or model, a feature is out of range, or no
            example is asked for.
    """
    model, tokens = checked(pair, sae, on), rows_of(pair, rows)
    found = tuple(int(i) for i in features)
    sae.check_features(found)
    if n_examples < 1 or around < 0:
        raise FeatureError(
            f"n_examples is {n_examples} and around {around}, so nothing would be shown. Pass 1 "
            "example at least, and 0 tokens or more around it."
        )
    # More than are shown, for several may be of one row.
    tops = find_tops(model, sae, tokens, found, pair=pair, n=8 * n_examples, execution=execution)
    examples: list[tuple[int, int, float, int]] = []
    for i, feature in enumerate(found):
        seen: list[int] = []
        for value, place in zip(tops.value[i].tolist(), tops.index[i].tolist(), strict=True):
            row = int(tokens.row[place])
            if value > 0 and row not in seen and len(seen) < n_examples:
                examples.append((feature, len(seen), value, place))
                seen.append(row)
    of, rank, activation, places = zip(*examples, strict=True) if examples else ((), (), (), ())
    at = torch.tensor(places, dtype=torch.long)
    page = sae.metadata.get("neuronpedia_id")
    return FeatureTable(
        sae=sae.name,
        site=str(sae.site),
        model=pair.base_name if on == "base" else pair.post_name,
        n_tokens=int(tokens.counted.sum()),
        example=tuple(_around(pair, tokens, place, around) for place in places),
        of=torch.tensor(of, dtype=torch.long),
        rank=torch.tensor(rank, dtype=torch.long),
        activation=torch.tensor(activation, dtype=torch.float32),
        row=tokens.row[at],
        pos=tokens.pos[at],
        feature=torch.tensor(found),
        density=tops.n_active.double() / int(tokens.counted.sum()),
        max_act=tops.value[:, 0],
        tokens=tuple(
            " ".join(words_of(pair, [t for t in line[:n_examples] if t >= 0]))
            for line in tops.token.tolist()
        ),
        link=tuple(f"https://neuronpedia.org/{page}/{i}" if page else "" for i in found),
        provenance=pair.provenance(
            arguments={
                **told_of(sae),
                "on": on,
                "features": list(found),
                "rows": digest_json(tokens.rows),
                "n_examples": n_examples,
                "around": around,
            }
        ),
    )


def _around(pair: ModelPair, tokens: Rows, place: int, around: int) -> str:
    """A token among its neighbours."""
    row, pos = tokens.rows[int(tokens.row[place])], int(tokens.pos[place])
    low, high = max(pos - around, 0), pos + around + 1
    words = list(words_of(pair, row[low:high]))
    words[pos - low] = f"⟦{words[pos - low]}⟧"
    return f"{'… ' * (low > 0)}{' '.join(words)}{' …' * (high < len(row))}"
