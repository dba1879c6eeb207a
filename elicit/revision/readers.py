"""The models that are read, each with its unembedding and lens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from torch import nn

from elicit.capture import Unembed, unembed_of
from elicit.pair import ModelPair
from elicit.revision.errors import RevisionError
from elicit.revision.lens import Lens, LogitLens, check_lens

Head = Literal["own", "base", "post"]
MODELS = ("base", "post")


@dataclass(frozen=True, eq=False, kw_only=True)
class Reader:
    """One model, and what its layers are read through."""

    name: str
    """`base` or `post`."""
    title: str
    """Hub id, folder or organism name."""
    model: nn.Module
    """The bridge."""
    n_layers: int
    """Blocks of the model."""
    pad_id: int
    """Id put where a row has no token."""
    own: Unembed
    """The model's final norm and unembedding, which make its final predictions."""
    unembed: Unembed
    """What reads its layers; the other model's in a cross reading."""
    lens: Lens
    """What is read of a layer's residual stream."""

    @property
    def crossed(self) -> bool:
        """Whether another unembedding reads it, so that its last layer is no longer final."""
        return self.unembed is not self.own


def readers_of(
    pair: ModelPair,
    *,
    models: Sequence[str] = MODELS,
    lens: Lens | Mapping[str, Lens] | None = None,
    head: Head = "own",
) -> tuple[Reader, ...]:
    """The models of a pair that are read, each with its unembedding and lens, all checked.

    Args:
        pair: The two models.
        models: Which of them.
        lens: One lens for all, or one for each model by name; the logit lens if None.
        head: Whose final norm and unembedding read the layers.

    Raises:
        RevisionError: A name is not one of the pair's models, or a lens is another model's.
        CaptureError: A model's logits are not what its unembedding makes of its last layer.
    """
    if not models or not set(models) <= set(MODELS) or len(set(models)) < len(models):
        raise RevisionError(
            f"models is {tuple(models)}, so it is not clear what to read. Pass base, post, or both."
        )
    if head not in ("own", *MODELS):
        raise RevisionError(
            f"head is {head!r}, and layers are read through own, base or post. Pass one of these."
        )
    unembeds = {name: unembed_of(getattr(pair, name), d_vocab=pair.d_vocab) for name in MODELS}
    readers = []
    for name in models:
        own = unembeds[name]
        used = own if head == "own" else unembeds[head]
        given = lens.get(name, LogitLens()) if isinstance(lens, Mapping) else lens or LogitLens()
        check_lens(cast(Lens, given), used, n_layers=pair.n_layers, name=name)
        readers.append(
            Reader(
                name=name,
                title=getattr(pair, f"{name}_name"),
                model=getattr(pair, name),
                n_layers=pair.n_layers,
                pad_id=pair.alignment.pad_id,
                own=own,
                unembed=used,
                lens=cast(Lens, given),
            )
        )
    return tuple(readers)
