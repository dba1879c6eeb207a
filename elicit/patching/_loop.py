"""Reference engine: one whole forward pass per cell, through hooks.

It works for every architecture that TransformerLens wraps, and the tests verify the lanes against
it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from elicit.capture import capture
from elicit.edits import Patch, edited, window
from elicit.pair import Encoded, hugging_face_model
from elicit.patching._reading import Reader, at_columns
from elicit.runs import Progress
from elicit.sites import Site


@dataclass(frozen=True, eq=False, kw_only=True)
class PlainRun:
    """A whole forward pass: activations at some sites, and logits at the columns read."""

    at: Mapping[Site, Tensor]
    """Activations, whole."""
    logits: Float[Tensor, "row read d_vocab"]
    """Raw scores."""

    def value(self, site: Site) -> Tensor:
        """Activations at a site, all heads."""
        return self.at[site.whole]


def plain_run(
    model: nn.Module, batch: Encoded, sites: list[Site], reads: Int[Tensor, "row read"]
) -> PlainRun:
    """Run a batch through the whole model; what is kept goes to the device of `reads`."""
    found = capture(model, batch, sites=sites, logits=True)
    assert found.logits is not None
    return PlainRun(
        at={site: value.to(reads.device) for site, value in found.at.items()},
        logits=at_columns(found.logits, reads).to(reads.device),
    )


def loop_sweep(
    model: nn.Module,
    batch: Encoded,
    sources: Mapping[Site, Tensor],
    groups: tuple[tuple[Site, ...], ...],
    span: Int[Tensor, "row pos two"],
    reads: Int[Tensor, "row read"],
    reader: Reader,
    progress: Progress,
) -> Float[Tensor, "metric group pos row"]:
    """Patch one cell at a time and run the whole model again.

    `span`: first position of each column and the one after its last.
    """
    n_rows, n_pos = span.shape[:2]
    rows = torch.arange(n_rows, device=reads.device)
    out = []
    for sites in groups:
        for pos in range(n_pos):
            edits = []
            spans = [tuple(each) for each in span[:, pos].tolist()]
            for low, high in sorted(set(spans)):
                mine = tuple(row for row in range(n_rows) if spans[row] == (low, high))
                for site in sites:
                    donor = sources[site.whole]
                    donor = donor if site.head is None else donor[:, :, site.head]
                    where = window(low, high - 1)
                    edits.append(Patch(site=site, donor=donor, where=where, rows=mine))
            with torch.no_grad(), edited(model, edits):
                logits = hugging_face_model(model)(
                    input_ids=batch.ids,
                    attention_mask=batch.mask,
                    position_ids=batch.position_ids,
                    use_cache=False,
                ).logits
            out.append(reader.from_logits(logits[rows[:, None], reads], rows))
            progress.advance(n_rows)
    return torch.stack(out, dim=1).unflatten(1, (len(groups), n_pos))
