"""Write texts that several models read together, each with its own prompts and its own cache."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from elicit.edits import active
from elicit.pair import Encoded, Side, device_of, hugging_face_model, weights_digest
from elicit.results import digest_json
from elicit.rollouts._cache import check_cache
from elicit.rollouts._cached import CachedReader
from elicit.rollouts._recorded import reader_of
from elicit.rollouts.errors import RolloutError
from elicit.rollouts.writing import Row, Writer


@dataclass(frozen=True, kw_only=True)
class SeveralWriter(Writer):
    """Writes texts of a model while others read the same rows."""

    others: tuple[Side, ...]
    """Models that read beside the one that writes."""

    def __post_init__(self) -> None:
        """Refuse further models that a row's place in its batch would matter to."""
        super().__post_init__()
        for other in self.others:
            check_cache(hugging_face_model(other.bridge))
            if active(other.bridge) is not None:
                raise RolloutError(
                    "a model that is read beside the one that writes is under edits, and whether "
                    "they were made is recorded for the writing model alone. Edit the model that "
                    "writes, or graft into the other what the edits change."
                )

    def _origin(self) -> str:
        digests = [weights_digest(other.bridge) for other in self.others]
        return digest_json(["several", super()._origin(), *digests])

    def _room(self, row: Row) -> int:
        room, n_text = super()._room(row), len(row.text)
        for place, other in enumerate(self.others):
            if other.n_positions is not None:
                room = min(room, other.n_positions - len(_prompt(row, place)) - n_text)
        return max(room, 0)

    def _readers(
        self, model: nn.Module, padded: Encoded, batch: Sequence[Row]
    ) -> list[CachedReader]:
        """Every model at the end of its own prompt and of the text so far, the writing one first.

        `padded`: prompts and texts of the writing model.
        """
        written = [len(row.text) for row in batch]
        readers = [reader_of(model, padded.ids, padded.mask, written)]
        for place, other in enumerate(self.others):
            reads = hugging_face_model(other.bridge)
            rows = [_prompt(row, place) + row.text for row in batch]
            given = other.alignment.pad(rows, padding="left")
            given = given.to(device_of(reads))
            readers.append(reader_of(reads, given.ids, given.mask, written))
        return readers


def _prompt(row: Row, place: int) -> tuple[int, ...]:
    """Prompt that one of the further models reads."""
    return row.other_prompts[place] if row.other_prompts else row.prompt


def common_ids(
    side: Side, others: Sequence[Side], *, shared: bool, templated: bool
) -> tuple[int, Bool[Tensor, " d_vocab"] | None]:
    """Ids that mean the same token to all models: how many there are, and which of them.

    Ids beyond the smallest vocabulary are cut off: models of one tokenizer differ in how many
    rows of padding they have.

    Args:
        side: The model that writes.
        others: Models that read beside it.
        shared: Whether ids that differ are ruled out; else they are refused.
        templated: Whether texts are in the chat template, whose tokenizer then knows them.

    Returns:
        Number of ids that all have; and which mean the same, None if all do.

    Raises:
        RolloutError: Tokens differ, or a model does not know ordinary tokens of another.
    """
    n = min(each.alignment.d_vocab for each in (side, *others))
    own = _tokens(side, templated)
    alike = torch.ones(n, dtype=torch.bool)
    for other in others:
        if other.alignment is side.alignment:
            continue
        known = _tokens(other, templated)
        differ = [i for i in sorted({*own, *known}) if i < n and own.get(i) != known.get(i)]
        beyond = [i for i in sorted({*own, *known}) if i >= n]
        if not shared and (differ or beyond):
            many = f"{len(differ)} ids are other tokens for it"
            if differ:
                i = differ[0]
                many += f" (id {i} is {own.get(i)!r} here and {known.get(i)!r} there)"
            raise RolloutError(
                f"a model of the rule has another vocabulary than the one that writes: {many}, and "
                f"{len(beyond)} tokens are beyond the {n} ids that all have. Their logits cannot "
                "be added token by token. Use models of one tokenizer, or pass vocab='shared' to "
                "write only tokens that are the same for all."
            )
        alike[differ] = False
    if not bool(alike.any()):
        raise RolloutError(
            "the models of the rule share no token, so nothing could be written. Use models of "
            "one tokenizer."
        )
    return n, None if bool(alike.all()) else alike


def _tokens(side: Side, templated: bool) -> dict[int, str]:
    """Token of every id."""
    alignment = side.alignment
    tokenizer = alignment.template_tokenizer if templated else alignment.tokenizer
    return {int(i): str(token) for token, i in tokenizer.get_vocab().items()}
