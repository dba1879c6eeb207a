"""Readers: models with their unembedding and lens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from jaxtyping import Float
from torch import Tensor

from elicit.capture import Unembed, unembed_of
from elicit.pair import ModelPair, Side
from elicit.revision.errors import RevisionError
from elicit.revision.lens import Lens, LogitLens, check_lens
from elicit.texts import TokenRows, residual_states

Head = Literal["own", "base", "post"]
MODELS = ("base", "post")


@dataclass(frozen=True, eq=False, kw_only=True)
class Reader:
    """One model, with the lens and unembedding that read its layers."""

    side: Side
    """The model."""
    title: str
    """Hub id, folder or organism name."""
    n_layers: int
    """Blocks of the model."""
    own: Unembed
    """The model's final norm and unembedding, which make its final predictions."""
    unembed: Unembed
    """What reads its layers; the other model's in a cross reading."""
    lens: Lens
    """What is read of a layer's residual stream."""

    @property
    def name(self) -> str:
        """`base` or `post`."""
        return self.side.name

    def states(self, rows: TokenRows) -> Float[Tensor, "layer token d_model"]:
        """Residual stream of every layer at the positions that are read, run as one batch.

        Raises:
            CaptureError: The model cannot read a row.
        """
        return residual_states(self.side, rows, n_layers=self.n_layers)

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
    unembeds = {name: unembed_of(pair.side(name).bridge, d_vocab=pair.d_vocab) for name in MODELS}
    readers = []
    for name in models:
        own = unembeds[name]
        used = own if head == "own" else unembeds[head].on(own.weight.device)
        given = lens.get(name, LogitLens()) if isinstance(lens, Mapping) else lens or LogitLens()
        check_lens(cast(Lens, given), used, n_layers=pair.n_layers, name=name)
        readers.append(
            Reader(
                side=pair.side(name),
                title=getattr(pair, f"{name}_name"),
                n_layers=pair.n_layers,
                own=own,
                unembed=used,
                lens=cast(Lens, given),
            )
        )
    return tuple(readers)
