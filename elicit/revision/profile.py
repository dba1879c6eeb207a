"""What every layer would say of every token, and how far from the final prediction that is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.pair import ModelPair
from elicit.results import Result
from elicit.revision.errors import RevisionError
from elicit.revision.lens import Lens, Norm
from elicit.revision.passes import run_pass
from elicit.revision.sides import HeadOf, PassOptions, sides_of
from elicit.revision.states import read_places
from elicit.revision.traces import Traces
from elicit.revision.words import words
from elicit.runs import Execution


@dataclass(frozen=True, eq=False, kw_only=True)
class Profile(Result):
    """Every layer's prediction of every token, held against the final one."""

    model: tuple[str, ...]
    """Models that were read."""
    layer: Int[Tensor, " layer"]
    """Blocks run before the reading: 0 reads the embedding, the last is the model's own."""
    token: tuple[str, ...]
    """Token that follows each position read; the prediction is of it."""
    row: Int[Tensor, " token"]
    """Row of each position."""
    pos: Int[Tensor, " token"]
    """Place of each position in its row."""
    problem: tuple[str, ...]
    """Problem of each row."""
    source: str
    """Who wrote the rows."""
    lens: tuple[str, ...]
    """Lens of each model."""
    head: HeadOf
    """Whose final norm and unembedding read the layers."""
    norm: Norm
    """Whether states got the final norm."""
    jsd: Float[Tensor, "model layer token"]
    """Jensen-Shannon divergence from the model's own final prediction, nats in [0, ln 2]."""
    kl: Float[Tensor, "model layer token"]
    """KL(final‖layer), nats; infinite where the layer rules out what is final."""
    entropy: Float[Tensor, "model layer token"]
    """Entropy of the layer's prediction, nats."""
    rank: Int[Tensor, "model layer token"]
    """Ids that the layer finds more probable than the final prediction's first; 0: it agrees."""
    prob: Float[Tensor, "model layer token"]
    """Probability that the layer gives the final prediction's first."""
    top: Int[Tensor, "model token"]
    """Most probable id of the final prediction."""
    top_prob: Float[Tensor, "model token"]
    """Its probability."""
    top_id: Int[Tensor, "model layer token k"] | None = None
    """Most probable ids of each layer, the first first; None if not asked for."""
    top_log_prob: Float[Tensor, "model layer token k"] | None = None
    """Their log-probabilities, nats."""
    kl_base_post: Float[Tensor, "layer token"] | None = None
    """KL(base‖post) of the two models' readings at a layer, nats; None if one was read."""
    kl_post_base: Float[Tensor, "layer token"] | None = None
    """KL(post‖base), nats."""
    jsd_base_post: Float[Tensor, "layer token"] | None = None
    """Jensen-Shannon divergence of the two readings, nats."""
    word: tuple[str, ...] = ()
    """Text of every id that is most probable somewhere."""
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
    traces: Traces | Sequence[str],
    *,
    models: Sequence[str] = ("base", "post"),
    lens: Lens | Mapping[str, Lens] | None = None,
    head: HeadOf = "own",
    norm: Norm = "once",
    between: bool = True,
    top_k: int = 1,
    execution: Execution = Execution(),
) -> Profile:
    """What every layer would say of every token, in one pass over the text.

    Args:
        pair: The two models.
        traces: Rows and where they are read; plain texts are read at every token but the first.
        models: Which models are read.
        lens: How layers are read: one lens, or one for each model by name; the logit lens if None.
        head: Whose final norm and unembedding read the layers. What is final stays the model's own.
        norm: Whether states get the final norm; anything but `once` repeats a reader's mistake.
        between: Whether both models' readings are also held against each other.
        top_k: Most probable ids that are kept of each layer; 0 keeps none.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        RevisionError: There is nothing to read, the budget holds no token, a lens is another
            model's, or some logits are no prediction.
        CaptureError: A model cannot read a row, or its logits are not its head's.

    Source: nostalgebraist 2020 (logit lens); Belrose et al. 2023, arXiv:2303.08112 (tuned lens).
    """
    traces = as_traces(pair, traces)
    if not 0 <= top_k <= pair.d_vocab:
        raise RevisionError(
            f"top_k is {top_k} and the models share {pair.d_vocab} ids, so there are no such most "
            f"probable ones. Pass 0 to {pair.d_vocab}."
        )
    sides = sides_of(pair, models=models, lens=lens, head=head)
    found = run_pass(
        sides,
        traces,
        pad_id=pair.alignment.pad_id,
        n_layers=pair.n_layers,
        options=PassOptions(
            norm=norm,
            between=between,
            top_k=top_k,
            budget=execution.memory,
            max_tokens=execution.max_tokens,
        ),
        execution=execution,
    )
    row, pos = read_places(traces)
    seen = torch.cat([found["top"].flatten(), found.get("top_id", found["top"]).flatten()])
    word_id = seen.unique()
    following = traces.next_ids()
    text = words(pair.alignment, [*following, *word_id.tolist()])
    return Profile(
        model=tuple(side.name for side in sides),
        layer=torch.arange(pair.n_layers + 1),
        token=tuple(text[i] for i in following),
        row=row,
        pos=pos,
        problem=traces.problem,
        source=traces.source,
        lens=tuple(lens_name(side.lens) for side in sides),
        head=head,
        norm=norm,
        word=tuple(text[i] for i in word_id.tolist()),
        word_id=word_id,
        provenance=pair.provenance(
            arguments={
                "traces": traces.digest,
                "lens": [lens_name(side.lens) for side in sides],
                "head": head,
                "norm": norm,
                "top_k": top_k,
            }
        ),
        **found,  # pyright: ignore[reportArgumentType]
    )


def as_traces(pair: ModelPair, traces: Traces | Sequence[str]) -> Traces:
    """Traces as they are, or plain texts as traces.

    Args:
        pair: Whose alignment reads texts.
        traces: Either.

    Raises:
        RevisionError: It is one string, or a text is too short.
    """
    if isinstance(traces, Traces):
        return traces
    if isinstance(traces, str):
        raise RevisionError(
            "texts is one string, whose characters would be read as texts. Pass a list of texts."
        )
    return Traces.of_texts(pair.alignment, list(traces))


def lens_name(lens: Lens) -> str:
    """What tables call a lens.

    Args:
        lens: Any lens.
    """
    variant = getattr(lens, "variant", None)
    name = type(lens).__name__
    return f"{name} ({variant}, fitted on {getattr(lens, 'model', '?')})" if variant else name
