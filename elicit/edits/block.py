"""Edits on a model for one `with` block."""

import inspect
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from jaxtyping import Bool, Int
from torch import Tensor, nn

from elicit.edits._following import Following, blocks_of, wrapped
from elicit.edits._hooking import add_hook, add_resid_mid_hook, check_site, scores
from elicit.edits._masking import masked_scores
from elicit.edits._run import Call
from elicit.edits._tokens import names_rows, tokens_of
from elicit.edits._writing import Writer
from elicit.edits.errors import EditError
from elicit.edits.shape import shape_of
from elicit.edits.values import Edit, MaskAttention
from elicit.surroundings import hold, make_guest


@contextmanager
def edited(
    model: nn.Module, edits: Sequence[Edit], *, prompt_lengths: Int[Tensor, " batch"] | None = None
) -> Iterator[nn.Module]:
    """A model under edits, for one block.

    Edits are made in the order in which the model computes their sites; at one site in the order
    given, and those of an inner block after those of an outer one. They hold for every call of the
    model or of the Hugging Face model that it wraps, generation included.

    Args:
        model: A bridge in raw mode.
        edits: At least one.
        prompt_lengths: Tokens of each row's prompt, padding not counted, for calls that hold more
            than the prompt, such as a whole text under teacher forcing. None: all that the first
            call of a run sees is the prompt.

    Yields:
        The model. Until the block ends, other threads wait for it, and are refused if they call it
        past this package.

    Raises:
        SiteError: The model does not have a site.
        EditError: An edit does not fit the model or a run, or was never made.
    """
    block = Edited(model, edits, prompt_lengths)
    with hold(model), ExitStack() as hooks:
        block.install(hooks)
        yield model
    # Not reached after an exception: what went wrong first is what the user must see.
    block.check_all_made()


def active(model: nn.Module) -> "Edited | None":
    """The innermost block of edits that a model is in."""
    return (blocks_of(model) or [None])[-1]


class Edited(Following):
    """The edits of one block and the run that they follow; `active` gives it."""

    def __init__(
        self, model: nn.Module, edits: Sequence[Edit], prompt_lengths: Int[Tensor, " batch"] | None
    ) -> None:
        """Refuse, before anything runs, what does not fit the model; see `edited`."""
        if not edits:
            raise EditError(
                "no edit is given, so the model would run unchanged and look like a null result. "
                "Pass one edit or more, or use the model without a block."
            )
        shape = shape_of(model)
        hook_points: dict[str, Any] = model.hook_dict  # pyright: ignore[reportAssignmentType]
        for edit in edits:
            check_site(edit, shape, hook_points)
        self._points = hook_points
        writers = [None if isinstance(e, MaskAttention) else Writer(e, shape) for e in edits]
        super().__init__(model, tuple(edits), writers, prompt_lengths)
        self._dest: list[Bool[Tensor, "batch pos"] | None] = []
        self._src: list[Bool[Tensor, "batch key"] | None] = []
        self._called = False
        self._thread = threading.get_ident()

    @property
    def prompt_lengths(self) -> Int[Tensor, " batch"] | None:
        """Tokens of each row's prompt where they were told; None where all is prompt."""
        return self._run.prompt_lengths

    @property
    def for_one_batch(self) -> tuple[str, ...]:
        """What in this block is given per row or per column, and so fits one batch only."""
        bound = [
            str(edit)
            for edit, writer in zip(self.edits, self._writers, strict=True)
            if names_rows(edit) or (writer is not None and writer.is_for_one_batch)
        ]
        return (*bound, *["prompt_lengths"] * self._run.is_for_one_batch)

    def swap_made(self, made: Sequence[bool]) -> tuple[bool, ...]:
        """Put another record of which edits were made in place of the one so far.

        For work that is kept on disk: what is read back was made by an earlier process.

        Args:
            made: One for each edit.

        Returns:
            The record so far.
        """
        before, self._made = tuple(self._made), list(made)
        return before

    def check_all_made(self) -> None:
        """Refuse an edit that was never made.

        Raises:
            EditError: Names the edits.
        """
        missed = [
            f"{edit} ({i + 1} of {len(self.edits)})"
            for i, edit in enumerate(self.edits)
            if not self._made[i]
        ]
        if missed:
            why = (
                "its tokens never came up in the block, or were all padding"
                if self._called
                else "no forward of this model ran in the block"
            )
            raise EditError(
                f"{'; '.join(missed)} was never made: {why}, so the outcome is that of the model "
                "without it. Check where= and rows=, and run this very model inside the block."
            )

    def install(self, hooks: ExitStack) -> None:
        """Put the hooks on, to be taken off when the stack closes."""
        model = wrapped(self._model)
        # The inner model is called by the outer one, and alone by who needs no logits.
        inner: nn.Module = getattr(model, "base_model", model)
        names = tuple(inspect.signature(inner.forward).parameters)

        def enter(_module: nn.Module, args: tuple, kwargs: dict) -> None:
            if not self._stepping:
                self._enter({**dict(zip(names, args, strict=False)), **kwargs})

        def leave(_module: nn.Module, _args: tuple, _output: object) -> None:
            if not self._stepping:
                self._call = None

        make_guest(enter)
        make_guest(leave)
        blocks = blocks_of(model)
        blocks.append(self)
        hooks.callback(blocks.remove, self)
        hooks.callback(inner.register_forward_pre_hook(enter, with_kwargs=True).remove)
        hooks.callback(inner.register_forward_hook(leave, always_call=True).remove)
        for i, edit in enumerate(self.edits):
            if isinstance(edit, MaskAttention):
                for layer in edit.layers:
                    add_hook(hooks, self._points[scores(layer)], self._masking(i, edit, layer))
            elif edit.site.kind == "resid_mid":
                add_resid_mid_hook(hooks, self._model, edit.site.layer, self._writing(i))
            else:
                add_hook(hooks, self._points[edit.site.hook], self._writing(i))

    def _enter(self, given: dict[str, Any]) -> None:
        """A call of the model begins: find every edit's tokens, and refuse before any block."""
        tokens = given.get("input_ids")
        tokens = given.get("inputs_embeds") if tokens is None else tokens
        if tokens is None:
            return  # the model's own error says it best
        if threading.get_ident() != self._thread:
            raise EditError(
                f"the model is in a block of edits ({self.edits[0]}) that another thread opened, "
                "so this call would be edited without having asked for it. Wait for the end of the "
                "block, or open it on the thread that calls the model."
            )
        cache = given.get("past_key_values")
        self._called = True
        call = self._run.enter(
            tokens, given.get("attention_mask"), 0 if cache is None else int(cache.get_seq_length())
        )
        try:
            self._dest, self._src = [], []
            for edit, writer in zip(self.edits, self._writers, strict=True):
                dest, src = tokens_of(edit, writer, call, tokens.device)
                self._dest.append(dest)
                self._src.append(src)
        except EditError:
            self._run.restart()
            raise
        self._call = call

    def _running(self) -> Call:
        """The call that is going on."""
        if self._call is None:
            raise EditError(
                "a layer of the model was called by itself inside a block of edits, so which "
                "tokens it sees is unknown. Call the model, or take the layer out of the block."
            )
        return self._call

    def _writing(self, i: int) -> Callable[..., Tensor | None]:
        """The hook of an edit of an activation."""

        def write(x: Tensor, hook: object = None) -> Tensor | None:
            call = self._running()
            writer = self._writers[i]
            if self._stepping and self._held is not None and writer is not None:
                return writer.write(x, self._held[i], call)
            selected = self._dest[i]
            if selected is None or writer is None:
                return None
            self._made[i] = True
            return writer.write(x, selected, call)

        return write

    def _masking(self, i: int, edit: MaskAttention, layer: int) -> Callable[..., Tensor | None]:
        """The hook of an edit of attention."""

        def mask(x: Tensor, hook: object = None) -> Tensor | None:
            self._running()
            dest, src = self._dest[i], self._src[i]
            if dest is None or src is None:
                return None
            new = masked_scores(x, dest, src, edit, layer)
            self._made[i] = self._made[i] or new is not None
            return new

        return mask
