"""Lens predictions of every layer at every token, and their divergence from the final one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.pair import ModelPair
from elicit.results import Result
from elicit.revision._layers import read_layers
from elicit.revision._readers import MODELS, Head, readers_of
from elicit.revision.errors import RevisionError
from elicit.revision.lens import Lens, Norm, lens_name
from elicit.runs import Execution
from elicit.texts import TextError, TokenRows, token_texts


@dataclass(frozen=True, eq=False, kw_only=True)
class Profile(Result):
    """Every layer's prediction of every token, compared with the final one."""

    model: tuple[str, ...]
    """Models that were read."""
    layer: Int[Tensor, " layer"]
    """Number of layers before the reading: 0 is the embedding, the last is the final prediction."""
    token: tuple[str, ...]
    """Token after each position, the target of the prediction."""
    row: Int[Tensor, " token"]
    """Row of each position."""
    pos: Int[Tensor, " token"]
    """Position in the row."""
    problem: tuple[str, ...]
    """Problem of each row."""
    source: str
    """Writer of the rows."""
    lens: tuple[str, ...]
    """Lens of each model."""
    head: Head
    """Model whose final norm and unembedding read the layers."""
    norm: Norm
    """Final norm of the states."""
    jsd: Float[Tensor, "model layer token"]
    """Jensen-Shannon divergence from the model's final prediction, nats in [0, ln 2]."""
    kl: Float[Tensor, "model layer token"]
    """KL(final‖layer), nats; infinite if the layer gives a final token probability 0."""
    entropy: Float[Tensor, "model layer token"]
    """Entropy of the layer's prediction, nats."""
    rank: Int[Tensor, "model layer token"]
    """Rank of the final prediction's top token at the layer; 0: they agree."""
    prob: Float[Tensor, "model layer token"]
    """Layer's probability of the final prediction's top token."""
    top: Int[Tensor, "model token"]
    """Most probable id of the final prediction."""
    top_prob: Float[Tensor, "model token"]
    """Probability of that id."""
    top_id: Int[Tensor, "model layer token k"] | None = None
    """Most probable ids of each layer, in order; None if not requested."""
    top_log_prob: Float[Tensor, "model layer token k"] | None = None
    """Their log-probabilities, nats."""
    kl_base_post: Float[Tensor, "layer token"] | None = None
    """KL(base‖post) of the two models' readings at a layer, nats; None with one model."""
    kl_post_base: Float[Tensor, "layer token"] | None = None
    """KL(post‖base), nats."""
    jsd_base_post: Float[Tensor, "layer token"] | None = None
    """Jensen-Shannon divergence of the two readings, nats."""
    word: tuple[str, ...] = ()
    """Text of every top id."""
    word_id: Int[Tensor, " word"] | None = None
    """Its id."""

    @property
    def n_layers(self) -> int:
        """Blocks of the models."""
        return len(self.layer) - 1

    def words(self) -> dict[int, str]:
        """Text of every id that is most probable somewhere, by id."""
        ids = [] if self.word_id is None else self.word_id.tolist()
        return dict(zip(ids, self.word, strict=True))


def profile(
    pair: ModelPair,
    rows: TokenRows | Sequence[str],
    *,
    models: Sequence[str] = MODELS,
    lens: Lens | Mapping[str, Lens] | None = None,
    head: Head = "own",
    norm: Norm = "once",
    top_k: int = 1,
    execution: Execution = Execution(),
) -> Profile:
    """Lens predictions of every layer at every token, in one pass over the text.

    With both models, their readings of a layer are also compared with each other.

    Args:
        pair: The two models.
        rows: Token rows, and where they are read; plain texts are read at every token but the
            first.
        models: Models to read.
        lens: One lens, or one per model by name; None takes the logit lens.
        head: Model whose final norm and unembedding read the layers; the final prediction is always
            the model's own.
        norm: Final norm of the states; `none` and `twice` reproduce published mistakes.
        top_k: Number of most probable ids kept per layer; 0 keeps none.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        RevisionError: `top_k` is out of range, or a lens is another model's.
        TextError: There is nothing to read, the budget holds no token, or some logits are not a
            prediction.
        CaptureError: A model cannot read a row, or its logits are not its unembedding's.

    Source: nostalgebraist 2020 (logit lens); Belrose et al. 2023, arXiv:2303.08112 (tuned lens).
    """
    rows = as_rows(pair, rows)
    if not 0 <= top_k <= pair.d_vocab:
        raise RevisionError(
            f"top_k is {top_k} and the models share {pair.d_vocab} ids. Pass 0 to {pair.d_vocab}."
        )
    readers = readers_of(pair, models=models, lens=lens, head=head)
    statistics = read_layers(readers, rows, norm=norm, top_k=top_k, execution=execution)
    for name in {"top_id", "top_log_prob"} & set(statistics):
        statistics[name] = statistics[name].transpose(-1, -2).contiguous()
    row, pos = rows.index
    seen = [statistics[name].flatten() for name in ("top", "top_id") if name in statistics]
    word_id = torch.cat(seen).unique()
    following = rows.next_ids()
    text = token_texts(pair.alignment, [*following, *word_id.tolist()])
    lenses = tuple(lens_name(reader.lens) for reader in readers)
    return Profile(
        model=tuple(reader.name for reader in readers),
        layer=torch.arange(pair.n_layers + 1),
        token=tuple(text[i] for i in following),
        row=row,
        pos=pos,
        problem=rows.problem,
        source=rows.source,
        lens=lenses,
        head=head,
        norm=norm,
        word=tuple(text[i] for i in word_id.tolist()),
        word_id=word_id,
        provenance=pair.provenance(
            arguments={
                "rows": rows.digest,
                "lens": list(lenses),
                "head": head,
                "norm": norm,
                "top_k": top_k,
            }
        ),
        **statistics,  # pyright: ignore[reportArgumentType]
    )


def as_rows(pair: ModelPair, rows: TokenRows | Sequence[str]) -> TokenRows:
    """Token rows as they are, or plain texts as token rows.

    Raises:
        TextError: It is one string, or a text is too short.
    """
    if isinstance(rows, TokenRows):
        return rows
    if isinstance(rows, str):
        raise TextError(
            "texts is one string, whose characters would be read as texts. Pass a list of texts."
        )
    return TokenRows.of_texts(pair.alignment, list(rows))
