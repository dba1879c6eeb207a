"""Deep-thinking tokens without reading every layer, with the same answers as the full pass."""

from dataclasses import dataclass

from jaxtyping import Bool, Float, Int
from torch import Tensor

from elicit.pair import ModelPair
from elicit.results import Result
from elicit.revision._early_search import EarlyReader
from elicit.revision._readers import readers_of
from elicit.revision.convention import DepthConvention
from elicit.revision.lens import Lens, lens_name
from elicit.runs import Execution
from elicit.stats import mean_by_problem
from elicit.texts import TokenRows, read_chunks


@dataclass(frozen=True, eq=False, kw_only=True)
class DeepThinking(Result):
    """Which tokens of one model settle deep, and the number of readings used."""

    convention: DepthConvention
    """Definitions of settled and deep."""
    model: str
    """Model that was read."""
    lens: str
    """Name of the lens."""
    n_layers: int
    """Blocks of the model."""
    deep_from: int
    """Smallest depth, layers run, at which settling is deep."""
    row: Int[Tensor, " token"]
    """Row of each position read."""
    pos: Int[Tensor, " token"]
    """Position in the row."""
    deep: Bool[Tensor, " token"]
    """Whether the prediction settles deep."""
    depth: Int[Tensor, " token"] | None = None
    """Settling depth; None unless depths were requested."""
    problem: tuple[str, ...]
    """Problem of each trace."""
    dtr: Float[Tensor, " trace"]
    """Share of each trace's tokens that settle deep; NaN: no token read."""
    n_projected: int
    """Full-vocabulary readings of one token at one layer below the last."""
    n_certified: int
    """Readings saved because a few logits proved the token not settled."""
    n_full: int
    """Readings of the full pass."""

    @property
    def saved(self) -> float:
        """Share of the full pass's readings that were saved."""
        return 1 - self.n_projected / self.n_full


def deep_thinking(
    pair: ModelPair,
    rows: TokenRows,
    *,
    model: str = "post",
    convention: DepthConvention | None = None,
    lens: Lens | None = None,
    depths: bool = False,
    certify: bool = True,
    execution: Execution = Execution(),
) -> DeepThinking:
    """Which tokens settle deep, reading layers only until the answer is known.

    With `first_hit`, a token is not deep once one layer below the deep ones has settled; these are
    tried from the deepest down, and the order does not change the answer. Before a full-vocabulary
    reading, a bound from a few logits may prove that the token is not settled.

    Args:
        pair: The two models.
        rows: Token rows, and where they are read.
        model: Which model, base or post.
        convention: Definitions of settled and deep; None takes the paper's, corrected.
        lens: Lens; None takes the logit lens.
        depths: Whether to return settling depths; layers are then tried from the first up.
        certify: Whether to use bounds to save readings; the answer is the same.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        RevisionError: The model has too few layers for the convention, or another model's lens.
        TextError: The budget holds no token, or some logits are not a prediction.
        CaptureError: A model cannot read a row, or its logits are not its unembedding's.
    """
    convention = convention or DepthConvention()
    deep_from = convention.deep_from(pair.n_layers)
    (reader,) = readers_of(pair, models=(model,), lens=lens)
    early = EarlyReader(reader, convention, depths=depths, certify=certify, memory=execution.memory)
    answers = read_chunks(
        rows, early.read, key="early", label="finding deep tokens", execution=execution
    )
    row, pos = rows.index
    value, (n_projected, n_certified) = answers["value"], answers["counts"].sum(-1).tolist()
    deep = value >= deep_from if depths else value.bool()
    return DeepThinking(
        convention=convention,
        model=reader.name,
        lens=lens_name(reader.lens),
        n_layers=pair.n_layers,
        deep_from=deep_from,
        row=row,
        pos=pos,
        deep=deep,
        depth=value if depths else None,
        problem=rows.problem,
        dtr=mean_by_problem(deep.double(), row, len(rows)),
        n_projected=n_projected,
        n_certified=n_certified,
        n_full=len(row) * (pair.n_layers - convention.first_layer),
        provenance=pair.provenance(
            arguments={
                "rows": rows.digest,
                "model": model,
                "convention": str(convention),
                "depths": depths,
            }
        ),
    )
