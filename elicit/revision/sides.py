"""The models that are read, each with its head and lens, and how."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from torch import nn

from elicit.capture import Unembed, unembed_of
from elicit.pair import ModelPair
from elicit.revision.errors import RevisionError
from elicit.revision.lens import Lens, LogitLens, Norm, check_lens
from elicit.revision.reading import BUDGET

HeadOf = Literal["own", "base", "post"]
MAX_TOKENS = 4096
"""Positions in a chunk of rows, unless said otherwise."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Side:
    """One model, and how its layers are read."""

    name: str
    """`base` or `post`."""
    model: nn.Module
    """The bridge."""
    own: Unembed
    """Its own final norm and unembedding, which make its final predictions."""
    head: Unembed
    """What reads its layers; another model's in a cross reading."""
    lens: Lens
    """What is read of a layer's residual stream."""

    @property
    def crossed(self) -> bool:
        """Whether another head than its own reads it, so that its last layer is no longer final."""
        return self.head is not self.own


@dataclass(frozen=True, kw_only=True)
class PassOptions:
    """How a pass reads, the same for every model."""

    norm: Norm = "once"
    """Whether states get the final norm."""
    between: bool = True
    """Whether the two models' layers are also held against each other."""
    top_k: int = 0
    """Most probable ids that are kept of each layer."""
    budget: int = BUDGET
    """Bytes that blocks of logits may take."""
    max_tokens: int = MAX_TOKENS
    """Positions in a chunk of rows, padding counted; a longer row has its own chunk."""


def sides_of(
    pair: ModelPair,
    *,
    models: Sequence[str] = ("base", "post"),
    lens: Lens | Mapping[str, Lens] | None = None,
    head: HeadOf = "own",
) -> tuple[Side, ...]:
    """The models of a pair that are to be read, each with its head and lens, all checked.

    Args:
        pair: The two models.
        models: Which of them.
        lens: One lens for all, or one for each model by name; the logit lens if None.
        head: Whose final norm and unembedding read the layers.

    Raises:
        RevisionError: A name is none of the pair's models, or a lens is another model's.
        CaptureError: A model's logits are not what its head makes of its last layer.
    """
    if not models or not set(models) <= {"base", "post"} or len(set(models)) < len(models):
        raise RevisionError(
            f"models is {tuple(models)}, so it is not clear what to read. Pass base, post, or both."
        )
    if head not in ("own", "base", "post"):
        raise RevisionError(
            f"head is {head!r}, and layers are read through own, base or post. Pass one of these."
        )
    heads = {
        name: unembed_of(getattr(pair, name), d_vocab=pair.d_vocab) for name in ("base", "post")
    }
    sides = []
    for name in models:
        own = heads[name]
        used = own if head == "own" else heads[head]
        wanted = lens.get(name, LogitLens()) if isinstance(lens, Mapping) else lens or LogitLens()
        check_lens(cast(Lens, wanted), used, n_layers=pair.n_layers, name=name)
        sides.append(
            Side(
                name=name,
                model=getattr(pair, name),
                own=own,
                head=used,
                lens=cast(Lens, wanted),
            )
        )
    return tuple(sides)
