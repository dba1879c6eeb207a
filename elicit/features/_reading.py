"""Feature activations of many rows, in blocks of tokens indexed over all rows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor

from elicit.capture import Chunk, stream
from elicit.features.errors import FeatureError
from elicit.features.sae import Sae
from elicit.pair import ModelPair, Side
from elicit.runs import Execution

TRAINED_ON = "elicit_trained_on"
"""Metadata key under which `train` records the digests of its models."""
_CELLS, _CELLS_ON_CPU = 2**25, 2**22
"""Feature activations per block, at least one token's: about a CPU cache, so that they stay in it
from the product through the non-linearity to the reader."""


class Rows:
    """Rows of token ids, with tokens indexed consecutively over all rows.

    Attributes:
        rows: Token ids of each row.
        ids: Token ids of all rows, concatenated.
        row: Row of each token.
        pos: Position of each token in its row.
        counted: Whether a token counts: neither special nor the first of its row, which may be
            an attention sink.
    """

    def __init__(self, rows: Sequence[Sequence[int]], special: Sequence[int]) -> None:
        """Index the tokens.

        Raises:
            FeatureError: A row is empty, or no token counts.
        """
        empty = next((i for i, row in enumerate(rows) if not len(row)), None)
        if empty is not None:
            raise FeatureError(
                f"row {empty} has no token, so there is nothing to read. Leave it out."
            )
        self.rows = [list(map(int, row)) for row in rows]
        lengths = torch.tensor([len(row) for row in self.rows], dtype=torch.long)
        self.ids = torch.tensor([i for row in self.rows for i in row], dtype=torch.long)
        self.row = torch.arange(len(self.rows)).repeat_interleave(lengths)
        self.first = lengths.cumsum(0) - lengths
        self.pos = torch.arange(len(self.ids)) - self.first[self.row]
        unwanted = torch.tensor(list(special), dtype=torch.long)
        self.counted = (self.pos > 0) & ~torch.isin(self.ids, unwanted)
        if not bool(self.counted.any()):
            raise FeatureError(
                f"{len(self.rows)} rows have no token that counts: first and special "
                "tokens do not. Pass longer rows."
            )

    def __len__(self) -> int:
        """Number of tokens."""
        return len(self.ids)

    def at(self, chunk: Chunk, kept: Bool[Tensor, "batch pos"]) -> Int[Tensor, " token"]:
        """Indices of the kept tokens of a chunk, in the chunk's order."""
        first = self.first[list(chunk.rows)][:, None]
        return (first + chunk.encoded.position_ids.cpu())[kept.cpu()]


@dataclass(frozen=True, eq=False, kw_only=True)
class Block:
    """A block of tokens, with activations and feature activations."""

    index: Int[Tensor, " token"]
    """Index of each token over all rows."""
    x: Float[Tensor, "token d_in"]
    """Activation that the SAE reads, on the SAE's device as all of it."""
    acts: Float[Tensor, "token d_sae"]
    """Feature activations."""
    made: Float[Tensor, "token d_out"] | None
    """Reconstruction, if requested."""


def blocks(
    side: Side,
    sae: Sae,
    rows: Rows,
    *,
    reconstruct: bool = False,
    counted: Bool[Tensor, " token"] | None = None,
    execution: Execution = Execution(),
) -> Iterator[Block]:
    """Feature activations of all tokens that count, in one pass over the model.

    `counted`: which tokens; None: all that count.
    """
    requested = rows.counted if counted is None else counted
    here = sorted(set(rows.row[requested].tolist()))
    chunks = stream(
        side.bridge,
        [rows.rows[i] for i in here],
        sites=[sae.site],
        pad_id=side.alignment.pad_id,
        execution=execution,
    )
    for part in chunks:
        chunk = Chunk(
            rows=tuple(here[i] for i in part.rows), encoded=part.encoded, captured=part.captured
        )
        real = chunk.encoded.real.cpu()
        index = rows.at(chunk, real)
        kept = real.clone()
        kept[real] = requested[index]
        x = rearrange(chunk.captured.at[sae.site], "batch pos ... -> batch pos (...)")
        yield from _encoded_blocks(sae, x, kept, index[requested[index]], reconstruct)


def _encoded_blocks(
    sae: Sae, x: Tensor, kept: Tensor, index: Tensor, reconstruct: bool
) -> Iterator[Block]:
    """Kept tokens of a chunk, encoded block by block."""
    # The SAE may be on another device than the model, and reconstructions are compared with x.
    home = sae.directions.device
    if sae.reads_context:
        # Features depend on the whole row, so rows are encoded whole.
        x, here = x.to(home), kept.to(home)
        acts, made = _encoded(sae, x, reconstruct)
        made = None if made is None else made[here]
        yield Block(index=index, x=x[here], acts=acts[here], made=made)
        return
    x = x[kept.to(x.device)].to(home)
    cells = _CELLS_ON_CPU if home.type == "cpu" else _CELLS
    step = max(1, cells // sae.d_sae)
    for start in range(0, len(x), step):
        part = x[start : start + step]
        acts, made = _encoded(sae, part, reconstruct)
        yield Block(index=index[start : start + step], x=part, acts=acts, made=made)


# Not around the yields: the caller's code keeps its own grad mode.
@torch.no_grad()
def _encoded(sae: Sae, x: Tensor, reconstruct: bool) -> tuple[Tensor, Tensor | None]:
    """Feature activations, and the reconstruction if requested."""
    acts = sae.encode(x)
    if not reconstruct:
        return acts, None
    plain = sae.normalises == "none" and not sae.centred and not sae.reads_context
    return acts, sae.decode(acts) if plain else sae.reconstruct(x)


def wide(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Values in float64 on their device; on the CPU if the device (MPS) lacks float64."""
    x = x.detach()
    return (x.cpu() if x.device.type == "mps" else x).double()


def check_sae(pair: ModelPair, sae: Sae, model: str) -> Side:
    """Requested side of the pair, after checking that the SAE belongs to the pair.

    Args:
        pair: Base and post.
        sae: What encodes.
        model: Which model is read, `base` or `post`.

    Raises:
        PairError: `model` is neither.
        FeatureError: The SAE does not fit by width or site, or was trained on another model.
    """
    side = pair.side(model)
    sae.check(side.bridge)
    trained = sae.metadata.get(TRAINED_ON)
    known = {pair.base_digest: pair.base_name, pair.post_digest: pair.post_name}
    if isinstance(trained, list) and not known.keys() & set(trained):
        raise FeatureError(
            f"{sae.name} was trained on a model with weights {str(trained[0])[:12]}, and this "
            f"pair is {' and '.join(f'{name} ({key[:12]})' for key, name in known.items())}, so "
            "its features have no meaning here. Pass an SAE of one of these models."
        )
    return side


def name_of(pair: ModelPair, model: str) -> str:
    """Name of base or post."""
    return pair.base_name if model == "base" else pair.post_name


def rows_of(pair: ModelPair, rows: Sequence[Sequence[int]]) -> Rows:
    """Indexed rows of token ids, with the pair's special tokens not counted.

    Raises:
        FeatureError: There is nothing to read.
    """
    return Rows(rows, sorted(special_ids(pair)))


def special_ids(pair: ModelPair) -> frozenset[int]:
    """Special tokens of the pair."""
    return frozenset(int(i) for i in getattr(pair.tokenizer, "all_special_ids", []))


def sae_arguments(sae: Sae) -> dict[str, object]:
    """SAE as recorded in the arguments of a result."""
    return {"sae": sae.name, "sae_digest": sae.digest, "site": str(sae.site)}
