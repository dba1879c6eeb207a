"""Which tokens of a call one edit is made at."""

import torch
from jaxtyping import Bool
from torch import Tensor

from elicit.edits._run import Call
from elicit.edits._writing import Writer
from elicit.edits.errors import EditError
from elicit.edits.values import Edit, MaskAttention
from elicit.pair import without_waiting


def tokens_of(
    edit: Edit, writer: Writer | None, call: Call, device: torch.device
) -> tuple[Bool[Tensor, "batch pos"] | None, Bool[Tensor, "batch key"] | None]:
    """The tokens that are changed, and for a mask of attention those that are no longer seen.

    `writer`: of an edit of an activation. `device`: where the tokens are to be known.

    Returns:
        None and None where the call has none of them.

    Raises:
        EditError: The edit names rows or positions that the run does not have.
    """
    here = call.rows
    if edit.rows is not None:
        if call.begins and max(edit.rows) >= len(here):
            raise EditError(
                f"{edit} is for row {max(edit.rows)}, and the batch has rows 0 to "
                f"{len(here) - 1}, so nothing would be edited there. Pass one of these."
            )
        here = torch.tensor(edit.rows)
    mine = torch.isin(call.rows, here)[:, None]
    wheres = (edit.dest, edit.src) if isinstance(edit, MaskAttention) else (edit.where,)
    if call.begins:
        for where in wheres:
            where.check(call.position, call.n_prompt, tuple(here.tolist()))
        if writer is not None:
            writer.check(call)
    dest = mine & wheres[0].select(
        call.position, call.n_prompt, rows=call.rows, first_column=call.first_column
    )
    if writer is not None:
        writer.check_reach(call, dest)
    if not bool(dest.any()):
        return None, None
    src = None
    if len(wheres) == 2:
        src = wheres[1].select(call.keys, call.n_prompt, rows=call.rows, first_column=0)
        src = without_waiting(src, device)
    return without_waiting(dest, device), src


def names_rows(edit: Edit) -> bool:
    """Whether an edit is meant for some rows, or for tokens marked row by row."""
    wheres = (edit.dest, edit.src) if isinstance(edit, MaskAttention) else (edit.where,)
    return edit.rows is not None or any(where.form == "marked" for where in wheres)
