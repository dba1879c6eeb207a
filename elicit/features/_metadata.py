"""What an SAE records of its training, against the models and texts that it is used on."""

from pathlib import PurePath

from elicit.features._reading import TRAINED_ON, special_ids
from elicit.features.sae import Sae
from elicit.pair import ModelPair


def disagreements(pair: ModelPair, sae: Sae, *, longest: int | None = None) -> tuple[str, ...]:
    """A sentence for everything that an SAE's metadata says otherwise than its use here.

    Compared are bos before texts, tokens left out, the name of the model, the length of texts and
    their positions. What the metadata does not record is not compared.

    Args:
        pair: Base and post.
        sae: What encodes.
        longest: Tokens of the longest text that is read; None where it is not known.
    """
    said = sae.metadata
    notes = []
    bos, adds = said.get("prepend_bos"), pair.alignment.adds_bos
    if isinstance(bos, bool) and bos is not adds:
        notes.append(
            f"{sae.name} was trained on texts {'with' if bos else 'without'} bos, and this pair's "
            f"texts begin {'with' if adds else 'without'} it."
        )
    special = special_ids(pair)
    left_out = said.get("exclude_special_tokens")
    if isinstance(left_out, list):
        extra = sorted({int(i) for i in left_out if isinstance(i, int)} - special)
        if extra:
            notes.append(
                f"{sae.name} was trained without the {len(extra)} token(s) {extra[:5]}, which are "
                "read here."
            )
    elif left_out is False and adds:
        notes.append(f"{sae.name} was trained on special tokens too, which are not counted here.")
    name = said.get("model_name")
    names = (pair.base_name, pair.post_name)
    if isinstance(name, str) and TRAINED_ON not in said:
        short = {PurePath(one).name.casefold() for one in names}
        if PurePath(name).name.casefold() not in short:
            notes.append(
                f"{sae.name} names {name!r} as its model, and the pair is {names[0]!r} and "
                f"{names[1]!r}; only the names were compared."
            )
    size = said.get("context_size")
    if isinstance(size, int) and longest is not None and longest > size:
        notes.append(
            f"{sae.name} was trained on texts of {size} tokens, and the longest here has {longest}."
        )
    where = said.get("seqpos_slice")
    if isinstance(where, list | tuple) and any(one is not None for one in where):
        notes.append(
            f"{sae.name} was trained on positions {list(where)} alone, and every position is read "
            "here."
        )
    return tuple(notes)
