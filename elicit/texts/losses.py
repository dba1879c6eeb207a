"""Loss of one text after another, in tokens that are given and not cut anew."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.pair import Side
from elicit.results import digest_json
from elicit.runs import Execution
from elicit.texts._trie import Trie
from elicit.texts.cuts import EncodedText, Lane
from elicit.texts.errors import TextError
from elicit.texts.lanes import LaneReader


@dataclass(frozen=True, kw_only=True)
class Followed:
    """Tokens after other tokens.

    Raises:
        TextError: One of the two is empty.
    """

    before: tuple[int, ...]
    """What stands before, at least one token: bos, where nothing else does."""
    after: tuple[int, ...]
    """Tokens whose loss is read."""

    def __post_init__(self) -> None:
        """Refuse what has no prediction."""
        if not self.before or not self.after:
            raise TextError(
                f"{len(self.before)} tokens stand before {len(self.after)}, and a loss is of at "
                "least one after at least one. Put bos before a text that stands alone."
            )


def mean_losses(
    side: Side,
    texts: Sequence[Followed],
    *,
    key: str,
    execution: Execution = Execution(),
) -> Float[Tensor, " text"]:
    """Mean loss a token of what follows, nats.

    Args:
        side: The model, alone or under edits or grafts.
        texts: What is read.
        key: Checkpoint key.
        execution: Tokens per forward pass, checkpoint and progress.
    """
    rows = []
    for text in texts:
        trie = Trie()
        reads = (tuple(trie.reads(text.after, 0)),)
        lane = Lane(at=len(text.before), trie=trie, reads=reads)
        rows.append(
            EncodedText(ids=text.before, start=len(text.before), lanes=(lane,), text_at=(0,))
        )
    reader = LaneReader(side)
    digest = digest_json([[text.before, text.after] for text in texts])
    out = torch.zeros(len(rows), dtype=torch.float64)
    sizes = torch.tensor([len(text.after) for text in texts])
    for number, chosen in enumerate(reader.chunks(rows, execution.max_tokens)):

        def run(chosen: list[int] = chosen) -> dict[str, Tensor]:
            part = [rows[i] for i in chosen]
            read = reader.read(part, max_tokens=execution.max_tokens, states=False)
            return {"log_prob": read.candidate_log_prob[:, 0]}

        found = execution.checkpoint.get_or_compute(f"{key}/{digest[:16]}/{number}", run)
        out[chosen] = -found["log_prob"].double()
    return out / sizes
