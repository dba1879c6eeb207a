"""Read activations: any sites of a model, alone or under edits."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from elicit.capture._engine import from_engine
from elicit.capture.errors import CaptureError
from elicit.edits import Edit, MaskAttention, active, shape_of
from elicit.pair import Encoded, device_of, hugging_face_model, position_limit
from elicit.sites import Shape, Site, SiteError


@dataclass(frozen=True, eq=False, kw_only=True)
class Captured:
    """Activations of one batch; values at padding are there and mean nothing."""

    at: Mapping[Site, Float[Tensor, "batch ..."]]
    """By site: `[batch pos d_model]`, with heads `[batch pos head d_head]`, and pattern
    `[batch head dest_pos src_pos]`. A site with a head has no axis of heads."""
    logits: Float[Tensor, "batch pos d_vocab"] | None = None
    """Logits of the same forward, if requested."""


class _Complete(Exception):
    """Ends a forward once every requested site was read; never leaves this module."""


def capture(
    model: nn.Module,
    tokens: Encoded | Int[Tensor, "batch pos"],
    *,
    sites: Sequence[Site],
    logits: bool = False,
    max_tokens: int | None = None,
) -> Captured:
    """Activations of a batch at some sites; nothing else is kept.

    Inside a block of edits it reads what the edits left, as a run of its own. Without `logits` the
    forward ends at the last site, so layers above it do not run and edits up there are not made.

    Outside of `torch.no_grad()` values stay in the graph: all but resid_mid lie on the path to the
    logits and to later sites, so that gradients with respect to them can be taken.

    Args:
        model: A bridge in raw mode.
        tokens: Token ids; without a mask every position is a token.
        sites: Sites to read; resid_mid is what the MLP's branch reads.
        logits: Whether to unembed every position too.
        max_tokens: Most positions in one forward, padding counted; a row is never cut. None runs
            all rows at once.

    Raises:
        SiteError: The model does not have a site.
        CaptureError: Nothing is requested, the model cannot read the tokens, a site was not
            reached, or edits of single rows would be read in chunks.
        EditError: An edit does not fit the batch.
    """
    encoded = _encoded(tokens)
    reader = Reader(model, sites, logits=logits)
    reader.check(encoded.ids, encoded.position_ids)
    n_rows, n_pos = encoded.ids.shape
    check_max_tokens(max_tokens)
    step = n_rows if max_tokens is None else max(1, max_tokens // n_pos)
    if step >= n_rows:
        return reader.read(encoded, part=False)
    parts = [
        reader.read(_rows(encoded, slice(i, i + step)), part=True) for i in range(0, n_rows, step)
    ]
    return Captured(
        at={site: torch.cat([part.at[site] for part in parts]) for site in parts[0].at},
        logits=torch.cat([p.logits for p in parts if p.logits is not None]) if logits else None,
    )


class Reader:
    """What to read of a model, checked once, for any number of batches."""

    def __init__(self, model: nn.Module, sites: Sequence[Site], *, logits: bool) -> None:
        """Find the hook points of all sites before anything is run."""
        if not sites and not logits:
            raise CaptureError(
                "sites is empty and logits is False, so there is nothing to read. Pass at least "
                "one site, for example sites=[resid_post(0)], or logits=True."
            )
        self.shape = shape_of(model)
        self.shape.check(sites)
        self.sites = tuple(dict.fromkeys(sites))
        self.logits = logits
        self.model = model
        self.hf_model = hugging_face_model(model)
        self.device = device_of(self.hf_model)
        self.points = {
            site: _point(model, site) for site in dict.fromkeys(s.whole for s in self.sites)
        }
        self.whole = self.points.keys() & set(self.sites)

    def check(self, ids: Int[Tensor, "..."], position_ids: Int[Tensor, "..."]) -> None:
        """Refuse tokens that the model cannot read, in words instead of an index error inside.

        Args:
            ids: All ids that will be read.
            position_ids: All positions that they will be read at.
        """
        if not ids.numel():
            raise CaptureError(
                f"tokens have the shape {tuple(ids.shape)}, so there is nothing to read. Pass at "
                "least one token."
            )
        config: Any = self.hf_model.config
        for what, values, limit in (
            ("token id", ids, int(config.get_text_config().vocab_size)),
            ("position", position_ids, position_limit(self.model)),
        ):
            low, high = int(values.min()), int(values.max())
            if limit is not None and (low < 0 or high >= limit):
                raise CaptureError(
                    f"tokens hold the {what} {low if low < 0 else high} and the model has "
                    f"{what}s 0 to {limit - 1}, so it cannot read them. Encode the text with this "
                    "pair's alignment, and cut rows that are too long."
                )

    def read(self, encoded: Encoded, *, part: bool) -> Captured:
        """One forward over one batch.

        Args:
            encoded: The batch.
            part: Whether its rows are some of many, so that edits cannot name rows.
        """
        block = active(self.model)
        served = None if self.logits else from_engine(self.model, self.sites, encoded)
        if served is not None:
            return Captured(at=served)
        if block is not None:
            for edit in block.edits if part else ():
                _refuse_by_row(edit)
            # Every batch is a run of its own, even if its ids continue the last one's.
            block.restart()
        at: dict[Site, Tensor] = {}
        out = None
        with self._hooked(at, *encoded.ids.shape), suppress(_Complete):
            out = self.hf_model(
                input_ids=encoded.ids.to(self.device),
                attention_mask=encoded.mask.to(self.device),
                position_ids=encoded.position_ids.to(self.device),
                use_cache=False,
                logits_to_keep=0 if self.logits else 1,
            )
        read = {site.whole for site in at}
        missing = [str(site) for site in self.points if site not in read]
        if missing:
            raise CaptureError(
                f"the forward ended without passing {', '.join(missing)}, so nothing was read "
                "there. This model computes that step in another way; read a site next to it."
            )
        return Captured(
            at={site: at[site] for site in self.sites},
            logits=out.logits if self.logits and out is not None else None,
        )

    @contextmanager
    def _hooked(self, at: dict[Site, Tensor], n_rows: int, n_pos: int) -> Iterator[None]:
        """Hooks that put each value into `at`, for one forward."""
        left = set(self.points)

        def keeper(site: Site) -> Callable[[nn.Module, object, object], object]:
            def keep(_module: nn.Module, _inputs: object, output: object) -> object:
                value = output[0] if isinstance(output, tuple) else output
                if site not in left or not isinstance(value, Tensor):
                    raise CaptureError(
                        f"{site} was passed twice in one forward, or held no tensor but "
                        f"{type(value).__name__}, so what would be read there is not one "
                        "activation. Read a site next to it."
                    )
                left.discard(site)
                passed = self._keep(site, value, at, n_rows, n_pos)
                if not left and not self.logits:
                    raise _Complete
                if passed is None or not isinstance(output, tuple):
                    return passed
                return (passed, *output[1:])

            return keep

        handles = [
            module.register_forward_hook(keeper(site)) for site, module in self.points.items()
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _keep(
        self, site: Site, value: Tensor, at: dict[Site, Tensor], n_rows: int, n_pos: int
    ) -> Tensor | None:
        """Copy what is requested at a whole site; returns what replaces it in the forward."""
        axes = _axes(site, self.shape, n_rows, n_pos)
        flat = (*axes[:2], math.prod(axes[2:]))
        if tuple(value.shape) not in (axes, flat):
            raise CaptureError(
                f"{site} has the shape {tuple(value.shape)} where {axes} was expected, so its axes "
                "cannot be told apart. Read a site next to it."
            )
        split = value.reshape(axes)
        slices = [part for part in self.sites if part.whole == site and part.head is not None]
        # What is returned at resid_mid reaches the MLP alone, not the skip connection.
        on_path = torch.is_grad_enabled() and split.requires_grad and site.kind != "resid_mid"
        if site in self.whole or on_path:
            # A copy of its own: another hook may change the value in place later on.
            split = split.clone()
        if site in self.whole:
            at[site] = split
        if not slices:
            return split.reshape(value.shape).clone() if on_path else None
        heads = split.unbind(_head_axis(site))
        for part in slices:
            if part.head is not None:
                # On the path the heads themselves are kept, and joined again for what follows.
                at[part] = heads[part.head] if on_path else heads[part.head].clone()
        return torch.stack(heads, _head_axis(site)).reshape(value.shape) if on_path else None


def _axes(site: Site, shape: Shape, n_rows: int, n_pos: int) -> tuple[int, ...]:
    """Shape of a whole site's activation."""
    if site.kind == "pattern":
        return n_rows, shape.n_heads, n_pos, n_pos
    heads = shape.heads(site.kind)
    if heads is None:
        return n_rows, n_pos, shape.d_model
    return n_rows, n_pos, heads, shape.d_head


def _head_axis(site: Site) -> int:
    """Where the heads are in a whole site's activation."""
    return 1 if site.kind == "pattern" else 2


def _point(model: nn.Module, site: Site) -> nn.Module:
    """The module whose output is the activation."""
    points: Any = model.hook_dict
    if site.hook not in points:
        raise SiteError(
            f"{site} is at {site.hook}, and the model has no such hook point, so nothing would be "
            "read there. Read a site next to it."
        )
    point = points[site.hook]
    owner, _, name = point.name.rpartition(".")
    # Where the point is a module's output, the module itself: then what is hooked on the module is
    # seen as well as what is hooked on its point.
    return model.get_submodule(owner) if name == "hook_out" else point


def _encoded(tokens: Encoded | Int[Tensor, "batch pos"]) -> Encoded:
    """Tokens with mask and positions."""
    if isinstance(tokens, Encoded):
        return tokens
    positions = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
    return Encoded(tokens, torch.ones_like(tokens), positions)


def _rows(encoded: Encoded, which: slice) -> Encoded:
    """Some rows of a batch."""
    return Encoded(encoded.ids[which], encoded.mask[which], encoded.position_ids[which])


def _refuse_by_row(edit: Edit) -> None:
    """Refuse an edit of single rows where rows are not those of the whole batch."""
    by_row = edit.rows is not None
    if isinstance(edit, MaskAttention):
        by_row |= "marked" in (edit.dest.form, edit.src.form)
    else:
        width = 2 if edit.site.has_heads and edit.site.head is None else 1
        given = [getattr(edit, name, None) for name in ("donor", "vector", "value")]
        by_row |= any(isinstance(x, Tensor) and x.ndim > width for x in given)
        by_row |= isinstance(edit.scale, Tensor) or edit.where.form == "marked"
    if by_row:
        raise CaptureError(
            f"{edit} is of single rows of a batch, and rows are read in chunks, so it would be "
            "made on other rows than meant. Read the whole batch at once, or make edits that hold "
            "for all rows."
        )


def check_max_tokens(max_tokens: int | None) -> None:
    """Refuse a chunk that holds nothing."""
    if max_tokens is not None and max_tokens < 1:
        raise CaptureError(
            f"max_tokens is {max_tokens}, so no row would ever be read. Pass at least 1; about "
            "8192 is usual."
        )
