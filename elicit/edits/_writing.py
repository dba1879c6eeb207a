"""What an edit does to an activation; never in place, always with gradients."""

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from elicit.edits._placing import Moved, Placed
from elicit.edits._run import Call
from elicit.edits.errors import EditError
from elicit.edits.values import Ablate, Clamp, Patch, ProjectOut, Shift, Steer
from elicit.sites import Shape

_PATTERN = "batch head dest src -> batch dest head src"
"""Heads of a pattern where the other kinds have theirs; its own inverse."""
SiteEdit = Patch | Steer | Clamp | ProjectOut | Ablate | Shift


class Writer:
    """One edit of an activation, ready to be made on one model."""

    def __init__(self, edit: SiteEdit, shape: Shape) -> None:
        """Check the edit's tensors against the model.

        Raises:
            EditError: A tensor does not have the site's width.
        """
        self.edit = edit
        if isinstance(edit, Shift) and edit.width not in (None, shape.width(edit.site)):
            raise EditError(
                f"{edit} reads {edit.width} numbers a token, and {edit.site} has "
                f"{shape.width(edit.site)}, so it does not fit there. Make it for this site."
            )
        self._scales = Moved(edit.scale) if isinstance(edit.scale, Tensor) else None
        name, tensor = _tensor_of(edit)
        self.placed = None if tensor is None else Placed(edit, edit.site, tensor, shape, name)
        if self.placed is None:
            return
        if isinstance(edit, Clamp | ProjectOut) and self.placed.has_batch:
            raise EditError(
                f"{edit} has a direction of shape {list(self.placed.tensor.shape)}, and one "
                "direction of the site's width is needed. Make one edit a row, with rows=, for "
                "several."
            )
        if isinstance(edit, Steer):
            self._check_vector(self.placed)

    def _check_vector(self, placed: Placed) -> None:
        """One vector for all rows or one a row, each with a norm."""
        if placed.has_pos:
            raise EditError(
                f"{self.edit} has a vector of shape {list(placed.tensor.shape)}, and one vector, "
                "or one a row, is added. Make one edit for each position, with where=, for several."
            )
        if placed.has_batch:
            rows = self.edit.rows
            known = placed.tensor.detach().flatten(1).any(1)
            still = [i for i in (~known).nonzero()[:, 0].tolist() if rows is None or i in rows]
            if still:
                raise EditError(
                    f"{self.edit} has a vector of norm 0 in row {still[0]}, so nothing would "
                    "change there and it would look like a null result. For a control without "
                    "effect use scale 0 in that row."
                )

    @property
    def is_for_one_batch(self) -> bool:
        """Whether the scale or the tensor has a value for each row or column of a batch."""
        placed = self.placed
        per_row = placed is not None and (placed.has_batch or placed.has_pos)
        return per_row or isinstance(self.edit.scale, Tensor)

    @property
    def repeats(self) -> bool:
        """Whether the edit does the same operations to every token that one call brings to a row.

        Not where it has a value for each column, or reads the selected tokens alone.
        """
        by_column = self.placed is not None and self.placed.has_pos
        return not by_column and not isinstance(self.edit, Shift)

    def check(self, call: Call) -> None:
        """Refuse tensors that do not match the rows and columns of a run's first call.

        Raises:
            EditError: Other rows or columns.
        """
        scale, batch = self.edit.scale, len(call.rows)
        if isinstance(scale, Tensor) and len(scale) != batch:
            raise EditError(
                f"{self.edit} has {len(scale)} scales and the batch {batch} rows, so they cannot "
                "be matched. Pass one scale for each row of the batch, also with rows=."
            )
        if self.placed is not None:
            self.placed.check(call)

    def check_reach(self, call: Call, selected: Bool[Tensor, "batch pos"]) -> None:
        """Refuse tokens for which the edit has no value."""
        if self.placed is not None:
            self.placed.check_reach(call, selected)

    def follow(self, call: Call) -> None:
        """Have what the edit computes with where it has been, with the rows of a call."""
        if self._scales is not None:
            self._scales.follow(call)
        if self.placed is not None:
            self.placed.follow(call)

    def write(
        self, x: Float[Tensor, "*axes"], selected: Bool[Tensor, "batch pos"], call: Call
    ) -> Float[Tensor, "*axes"]:
        """The activation after the edit.

        `x`: [batch pos ...], a pattern [batch head dest src].
        """
        is_pattern = self.edit.site.kind == "pattern"
        whole = rearrange(x, _PATTERN) if is_pattern else x
        head = self.edit.site.head
        old = whole if head is None else whole[:, :, head]
        if isinstance(self.edit, Shift):
            new = self._shifted(self.edit, old, selected.to(x.device), call)
        else:
            chosen = selected.to(x.device).reshape(*selected.shape, *[1] * (old.ndim - 2))
            new = torch.where(chosen, self._new(old, call), old)
        if head is not None:
            place = torch.full((1,), head, device=x.device)  # filled there, not copied there
            new = whole.index_copy(2, place, new.unsqueeze(2))
        return rearrange(new, _PATTERN) if is_pattern else new

    def _new(self, x: Tensor, call: Call) -> Tensor:
        """The activation if all tokens were edited."""
        edit = self.edit
        # Half precision is widened, so that one scale a row gives the bits of one run a scale.
        work = torch.promote_types(x.dtype, torch.float32)
        scale = self._scale(x, work, call)
        if isinstance(edit, Steer):
            return (x.to(work) + scale * self._ready(x, work, call)).to(x.dtype)
        if isinstance(edit, Clamp | ProjectOut):
            unit = self._ready(x, work, call)
            unit = unit / unit.norm()
            axes = tuple(range(2, x.ndim))
            value = edit.value if isinstance(edit, Clamp) else 0.0
            along = (x.to(work) * unit).sum(axes, keepdim=True)
            return (x.to(work) + scale * (value - along) * unit).to(x.dtype)
        target = torch.zeros_like(x) if self.placed is None else self._ready(x, x.dtype, call)
        if isinstance(scale, float | int) and scale == 1:
            return target.expand_as(x)
        mixed = (x.to(work) + scale * (target.to(work) - x.to(work))).to(x.dtype)
        if isinstance(scale, Tensor) and not scale.requires_grad:
            # A row at scale 1 has the donor's very bits; a requested gradient needs the formula.
            return torch.where(scale == 1, target, mixed)
        return mixed

    def _shifted(
        self, edit: Shift, x: Tensor, chosen: Bool[Tensor, "batch pos"], call: Call
    ) -> Tensor:
        """The activation with the selected tokens shifted; no other is read."""
        mine = rearrange(x[chosen], "token ... -> token (...)")
        shift = edit.shift(mine)
        if shift.shape != mine.shape or not bool(torch.isfinite(shift).all()):
            fault = "values that are not finite"
            if shift.shape != mine.shape:
                fault = f"the shape {list(shift.shape)} for activations of {list(mine.shape)}"
            raise EditError(
                f"{edit} gave {fault}, so it cannot be added. Give one finite vector a token."
            )
        work = torch.promote_types(x.dtype, torch.float32)
        scale = self._scale(x, work, call)
        if isinstance(scale, Tensor):
            scale = scale.reshape(-1, 1).expand(chosen.shape)[chosen][:, None]
        new = (mine.to(work) + scale * shift.to(x.device, work)).to(x.dtype)
        return x.index_put((chosen,), new.reshape(-1, *x.shape[2:]))

    def _ready(self, x: Tensor, dtype: torch.dtype, call: Call) -> Tensor:
        """The edit's tensor for this call."""
        assert self.placed is not None
        return self.placed.ready(x, dtype, call)

    def _scale(self, x: Tensor, work: torch.dtype, call: Call) -> float | Tensor:
        """The scale, one a row where there are several."""
        if self._scales is None:
            return self.edit.scale
        rows = self._scales.at(x.device, work, call)
        return rows.reshape(-1, *[1] * (x.ndim - 1))


def _tensor_of(edit: SiteEdit) -> tuple[str, Tensor | None]:
    """The tensor that an edit brings, with its name."""
    if isinstance(edit, Patch):
        return "donor", edit.donor
    if isinstance(edit, Steer):
        return "vector", edit.vector
    if isinstance(edit, Ablate):
        return "value", edit.value
    if isinstance(edit, Shift):
        return "shift", None
    return "direction", edit.direction
