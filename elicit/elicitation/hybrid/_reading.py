"""What both models predict along given texts, and the state of one of them there."""

from collections.abc import Sequence

import torch
from torch import Tensor

from elicit.capture import capture, logits_at
from elicit.edits import shape_of
from elicit.pair import Side, device_of, pad
from elicit.results import digest_json
from elicit.runs import Execution
from elicit.sites import Site, resid_post
from elicit.texts import TokenRows, read_chunks, tokens_per_block


def greedy_ids(side: Side, rows: TokenRows, execution: Execution) -> Tensor:
    """Most probable next token of a model at every position that is read."""
    return _read(side, rows, (), execution)["greedy"]


def read_states(side: Side, rows: TokenRows, site: Site, execution: Execution) -> Tensor:
    """State of a model at a site, `[token width]`, at every position that is read."""
    return _read(side, rows, (site,), execution)["state"].T.contiguous()


def _read(
    side: Side, rows: TokenRows, sites: Sequence[Site], execution: Execution
) -> dict[str, Tensor]:
    """Greedy ids, or where a site is named the states there; tokens are the last axis."""
    model = side.bridge
    device = device_of(model)
    top = resid_post(shape_of(model).n_layers - 1)
    d_vocab = side.alignment.d_vocab
    size = tokens_per_block(d_vocab, memory=execution.memory, buffers=2)

    @torch.no_grad()
    def read(part: TokenRows) -> dict[str, Tensor]:
        batch = pad(part.rows, pad_id=side.alignment.pad_id, padding="right").to(device)
        row, pos = (index.to(device) for index in part.index)
        if sites:
            return {"state": capture(model, batch, sites=sites).at[sites[0]][row, pos].float().T}
        resid = capture(model, batch, sites=[top]).at[top]
        blocks = zip(row.split(size), pos.split(size), strict=True)
        return {
            "greedy": torch.cat(
                [logits_at(model, resid, r, p)[:, :d_vocab].argmax(-1) for r, p in blocks]
            )
        }

    what = [str(site) for site in sites] or ["greedy"]
    key = digest_json([side.digest, rows.digest, what])
    return read_chunks(
        rows, read, key=f"hybrid/{key}", label=f"{what[0]}, {side.name}", execution=execution
    )
