"""Bring a donor, vector or direction into the axes of the activation it meets."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from elicit.edits._run import Call
from elicit.edits.errors import EditError
from elicit.pair import without_waiting
from elicit.sites import Shape, Site


class Moved:
    """A tensor where an activation is, with the rows of a call; kept until rows leave.

    Sent there again for each call, a device would be waited for at every layer of every token.
    """

    def __init__(self, tensor: Tensor) -> None:
        """Nothing is moved yet."""
        self._tensor = tensor
        self._kept: dict[tuple[torch.device, torch.dtype], tuple[Tensor | None, Tensor]] = {}

    def at(self, device: torch.device, dtype: torch.dtype, call: Call | None) -> Tensor:
        """The tensor there.

        `call`: whose rows it is cut to; None where it has none.
        """
        rows = None if call is None or not call.dropped else call.rows
        if self._tensor.requires_grad:  # it stays in its graph
            return self._cut(rows).to(device=device, dtype=dtype)
        known = self._kept.get((device, dtype))
        if known is None or known[0] is not rows:
            there = without_waiting(self._cut(rows).to(dtype), device)
            known = self._kept[device, dtype] = rows, there
        return known[1]

    def follow(self, call: Call | None) -> None:
        """Bring the tensor wherever it has been, with the rows of a call.

        Before a step is recorded: in one, a copy from the host would read its memory ever again.
        """
        for device, dtype in tuple(self._kept):
            self.at(device, dtype, call)

    def _cut(self, rows: Tensor | None) -> Tensor:
        return self._tensor if rows is None else self._tensor[rows.to(self._tensor.device)]


class Placed:
    """A tensor of an edit as [batch pos ...width], where batch and pos may be missing."""

    def __init__(self, edit: object, site: Site, tensor: Tensor, shape: Shape, name: str) -> None:
        """Read the axes off the number of dimensions.

        Raises:
            EditError: The tensor does not have the site's width.
        """
        self.name = f"{edit}: its {name}"
        self.is_pattern = site.kind == "pattern"
        heads = shape.heads(site.kind) if site.head is None else None
        if self.is_pattern:
            width = () if heads is None else (heads,)
            extra = tensor.ndim - len(width) - 2
            fits = extra in (0, 1) and (
                heads is None or (tensor.ndim >= 3 and tensor.shape[-3] == heads)
            )
            expected = f"[{'head ' if heads else ''}dest src]{f' with {heads} heads' * bool(heads)}"
            self.has_batch, self.has_pos = extra == 1, True
            if fits and heads is not None:
                tensor = tensor.transpose(-2, -3)
        else:
            one = (shape.d_model,) if heads is None and not site.has_heads else (shape.d_head,)
            width = one if heads is None else (heads, *one)
            extra = tensor.ndim - len(width)
            fits = 0 <= extra <= 2 and tuple(tensor.shape[extra:]) == width
            expected = f"{list(width)}, alone or after batch or after batch and pos"
            self.has_batch, self.has_pos = extra > 0, extra > 1
        if not fits:
            raise EditError(
                f"{self.name} has shape {list(tensor.shape)}, and {site} has {expected}, so it "
                "does not fit there. Take it from the same site of a model of the same widths."
            )
        self.tensor = tensor
        self._found = Moved(tensor)

    def check(self, call: Call) -> None:
        """Refuse a tensor that does not match the rows and columns of a run's first call.

        Raises:
            EditError: Other rows or columns.
        """
        batch, n_pos = call.position.shape
        if self.has_batch and self.tensor.shape[0] != batch:
            raise EditError(
                f"{self.name} has {self.tensor.shape[0]} rows and the batch {batch}, so they "
                "cannot be matched. Pass one row for each row of the batch (expand repeats one)."
            )
        columns = [self.tensor.shape[int(self.has_batch)]] if self.has_pos else []
        columns += [self.tensor.shape[-1]] if self.is_pattern else []
        if any(found != n_pos for found in columns):
            raise EditError(
                f"{self.name} has {' and '.join(map(str, columns))} positions and the prompts have "
                f"{n_pos} as given to the model, padding included, so token and donor cannot be "
                "matched. Pad both alike."
            )

    def check_reach(self, call: Call, selected: Bool[Tensor, "batch pos"]) -> None:
        """Refuse tokens for which the tensor has no position.

        Raises:
            EditError: A token after the first call is meant.
        """
        end = call.n_first - call.first_column
        if self.has_pos and bool(selected[:, max(end, 0) :].any()):
            raise EditError(
                f"{self.name} has a value for each of the {call.n_first} columns of the run's "
                "first call and none for the tokens after it, which are meant too. Pass "
                "where=prompt(), or one value for all positions."
            )

    def follow(self, call: Call) -> None:
        """Have the tensor with the rows of a call where it has been; see `Moved`."""
        self._found.follow(call if self.has_batch else None)

    def ready(
        self, like: Tensor, dtype: torch.dtype, call: Call
    ) -> Float[Tensor, "rows columns *width"]:
        """The tensor for the rows and columns of a call, on the activation's device."""
        found = self._found.at(like.device, dtype, call if self.has_batch else None)
        if not self.has_batch:
            found = found.unsqueeze(0)
        if not self.has_pos:
            return found.unsqueeze(1)
        found = found[:, call.first_column : call.first_column + like.shape[1]]
        missing = like.shape[1] - found.shape[1]
        if missing:  # tokens after the first call, which are not selected
            found = torch.cat(
                [found, found.new_zeros(found.shape[0], missing, *found.shape[2:])], dim=1
            )
        if self.is_pattern and like.shape[-1] > found.shape[-1]:
            # Later tokens are keys too, and no token of the first call attends to them.
            found = torch.nn.functional.pad(found, (0, like.shape[-1] - found.shape[-1]))
        return found
