"""Follow a run call by call, so that every token keeps its place in its own row."""

from dataclasses import dataclass

import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from elicit.edits.errors import EditError


@dataclass(frozen=True, eq=False, kw_only=True)
class Call:
    """One call of the model: where its tokens stand in their rows and in the run."""

    begins: bool
    """Whether it is the first of its run."""
    rows: Int[Tensor, " batch"]
    """Row that each had in the run's first call."""
    dropped: bool
    """Whether rows have left since then."""
    first_column: int
    """Columns of the run before this call's."""
    n_first: int
    """Columns of the run's first call."""
    position: Int[Tensor, "batch pos"]
    """Place of each of this call's tokens in its own row, -1 on padding."""
    keys: Int[Tensor, "batch key"]
    """The same for all columns of the run up to now."""
    n_prompt: Int[Tensor, " batch"]
    """Tokens of each row's prompt."""


class Run:
    """What has been seen of the run that is going on."""

    def __init__(self, prompt_lengths: Int[Tensor, " batch"] | None) -> None:
        """A run that has not begun.

        `prompt_lengths`: tokens of each row's prompt; None is all of the first call's.
        """
        if prompt_lengths is not None and int(prompt_lengths.min()) < 1:
            raise EditError(
                f"prompt_lengths is {prompt_lengths.tolist()}, and every prompt has a token at "
                "least. Pass the number of tokens of each row's prompt, padding not counted."
            )
        self._given = None if prompt_lengths is None else prompt_lengths.cpu()
        self.one_each = False  # whether calls on a cache bring one token to every row
        self.restart()

    @property
    def prompt_lengths(self) -> Int[Tensor, " batch"] | None:
        """Tokens of each row's prompt in the next run, where they were told."""
        return self._given if self._told is None else self._told

    @property
    def is_for_one_batch(self) -> bool:
        """Whether the prompts of all runs were given row by row."""
        return self._given is not None

    def restart(self, prompt_lengths: Int[Tensor, " batch"] | None = None) -> None:
        """The next call begins a new run, even if its ids continue the last one's.

        Args:
            prompt_lengths: Tokens of each row's prompt in the new run alone.
        """
        self._told = None if prompt_lengths is None else prompt_lengths.cpu()
        self.one_each = False
        self._tokens: list[Tensor] = []
        self._keys = torch.zeros(0, 0, dtype=torch.long)
        self._rows = torch.zeros(0, dtype=torch.long)
        self._n_prompt = torch.zeros(0, dtype=torch.long)
        self._n_first = 0
        self._dropped = False

    def select(self, rows: Int[Tensor, " row"]) -> None:
        """Only some rows continue.

        Args:
            rows: Their places in the batch of the last call.
        """
        keep = rows.cpu()
        self._tokens = [tokens[keep.to(tokens.device)] for tokens in self._tokens]
        self._keys, self._rows = self._keys[keep], self._rows[keep]
        self._n_prompt, self._dropped = self._n_prompt[keep], True

    def enter(
        self, tokens: Shaped[Tensor, "batch pos *embedding"], mask: object, n_cached: int
    ) -> Call:
        """Take the next call in.

        Args:
            tokens: Ids, or embeddings in their place.
            mask: What the model was given as `attention_mask`.
            n_cached: Columns that the cache holds.

        Raises:
            EditError: The call cannot be matched with the ones before, or the mask does not say
                which tokens are padding.
        """
        batch, n_new = tokens.shape[:2]
        if n_cached and n_new == 1 and self.one_each:
            real = torch.ones(batch, 1, dtype=torch.bool)
        else:
            real = _real(mask, batch, n_cached, n_new)
        if n_cached:
            self._check_cached(batch, n_cached)
            begins, known = False, self._keys[:, :n_cached]
            if self._tokens and n_cached < self._keys.shape[1]:
                self._tokens = [_joined(self._tokens)[:, :n_cached]]
        else:
            begins = not self._goes_on(tokens, real)
            known = torch.zeros(batch, 0, dtype=torch.long)
            self._tokens = []
        if begins:
            self._begin(batch, n_new, real)
        self._tokens.append(tokens.detach())
        return self._called(known, real, begins=begins)

    def grow(self, n_cached: int) -> Call:
        """The next call of a run that has begun: one token for every row.

        Args:
            n_cached: Columns that the cache holds.
        """
        self._tokens = []  # what the tokens are is not told, so that no call can repeat them
        ones = torch.ones(len(self._rows), 1, dtype=torch.bool)
        return self._called(self._keys[:, :n_cached], ones, begins=False)

    def _called(self, known: Tensor, real: Tensor, *, begins: bool) -> Call:
        """A call, from the places of the columns before it and which of its own hold a token."""
        position = (known >= 0).sum(1, keepdim=True) + real.long().cumsum(1) - 1
        position = position.masked_fill(~real, -1)
        self._keys = torch.cat([known, position], dim=1)
        return Call(
            begins=begins,
            rows=self._rows,
            dropped=self._dropped,
            first_column=known.shape[1],
            n_first=self._n_first,
            position=position,
            keys=self._keys,
            n_prompt=self._n_prompt,
        )

    def _begin(self, batch: int, n_new: int, real: Tensor) -> None:
        """A first call fixes the rows, the columns and the prompts."""
        seen = real.sum(1)
        given, self._told = self._given if self._told is None else self._told, None
        if given is None:
            self._n_prompt = seen
        elif len(given) != batch:
            raise EditError(
                f"prompt_lengths has {len(given)} rows and the batch {batch}, so no prompt "
                "can be separated from what follows it. Pass one length a row."
            )
        else:
            short = (given > seen).nonzero()[:, 0].tolist()
            if short:
                row = short[0]
                raise EditError(
                    f"prompt_lengths says {int(given[row])} tokens for row {row}, and the "
                    f"first call has {int(seen[row])} there, padding not counted. Pass the lengths "
                    "of the prompts, and each prompt in one call."
                )
            self._n_prompt = given
        self._rows, self._dropped = torch.arange(batch), False
        self._n_first = n_new

    def _check_cached(self, batch: int, n_cached: int) -> None:
        """A cache continues what was seen."""
        if n_cached > self._keys.shape[1]:
            raise EditError(
                f"the cache holds {n_cached} tokens a row and {self._keys.shape[1]} of them were "
                "seen here, so the prompt is unknown and the rest was computed without the edits. "
                "Begin the run, with an empty cache, inside the block."
            )
        if batch != len(self._rows):
            raise EditError(
                f"the batch had {len(self._rows)} rows and now has {batch}, so rows and edits "
                "cannot be matched. Say which rows continue: active(model).select(rows)."
            )

    def _goes_on(self, tokens: Tensor, real: Tensor) -> bool:
        """Whether a call without cache repeats what was seen and adds to it."""
        if not self._tokens or self._keys.shape[0] != tokens.shape[0]:
            return False
        n_seen = self._keys.shape[1]
        if n_seen >= tokens.shape[1] or not torch.equal(self._keys >= 0, real[:, :n_seen]):
            return False
        if any(part.shape[2:] != tokens.shape[2:] for part in self._tokens):
            return False
        seen, again = _joined(self._tokens).to(tokens.device), tokens[:, :n_seen]
        if torch.equal(seen, again):
            return True
        # In beam search a row may continue another row of the same prompt.
        return torch.equal(seen[:, : self._n_first], again[:, : self._n_first]) and bool(
            (seen[None] == again[:, None]).flatten(2).all(-1).any(1).all()
        )


def _joined(parts: list[Tensor]) -> Tensor:
    """The columns of several calls side by side."""
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


def _real(mask: object, batch: int, n_cached: int, n_new: int) -> Tensor:
    """Whether each new column holds a token, from an attention mask."""
    if mask is None:
        return torch.ones(batch, n_new, dtype=torch.bool)
    if not isinstance(mask, Tensor) or mask.ndim != 2 or mask.shape[1] < n_cached + n_new:
        shape = tuple(mask.shape) if isinstance(mask, Tensor) else type(mask).__name__
        raise EditError(
            f"attention_mask is {shape}; [batch pos] over {n_cached + n_new} columns is needed: "
            "it alone says which tokens are padding and so where each position is. Pass the mask "
            "of all tokens, those in the cache included, and no cache of fixed size."
        )
    if mask.shape[0] != batch:
        raise EditError(
            f"attention_mask has {mask.shape[0]} rows and the tokens {batch}, so padding cannot be "
            "recognised. Pass one row of the mask for each row."
        )
    return (mask[:, n_cached : n_cached + n_new] != 0).cpu()
