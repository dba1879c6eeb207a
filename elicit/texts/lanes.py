"""Probability of every candidate answer at every cut of a text, from one read of the text.

A text is read once; its lanes then run together over the keys and values of that read, each token
seeing the text up to its cut and its own lane before it. So n cuts cost the text and n short
lanes, not n prefixes. Where a model's layers cannot be run one by one, and where a text is longer
than the model's rotary angles allow one read for (`longrope`, dynamic NTK), every lane is a plain
forward over its whole prefix.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from elicit.capture import (
    CaptureError,
    Decomposed,
    capture,
    decompose,
    plan_chunks,
    run_block,
    slot_logits,
)
from elicit.pair import Side, device_of, hugging_face_model, pad
from elicit.sites import Kind, resid_post
from elicit.surroundings import guarded
from elicit.texts._lane_batches import (
    add_reads,
    all_but_last,
    ancestors,
    as_batch,
    empty,
    log_softmax,
    packed,
    padded,
    visible,
    within,
)
from elicit.texts.cuts import EncodedText

_CPU_TOKENS = 2048
"""Tokens of a batch beyond which a CPU gains nothing from more rows, and loses to their padding."""


@dataclass(frozen=True, eq=False, kw_only=True)
class TextRead:
    """What one model says of a batch of texts."""

    states: Float[Tensor, "token d_model"]
    """Residual stream after the last layer at every token but the last of each text."""
    candidate_log_prob: Float[Tensor, "lane candidate"]
    """Log-probability of each candidate, summed over its tokens, nats, float64; NaN where a lane
    has fewer candidates."""


class LaneReader:
    """Reads texts and their lanes with one model.

    Args:
        side: The model, alone or under edits or grafts.
        every_prefix: Read every lane by a plain forward over its whole prefix, as an independent
            check of the shared read.
    """

    def __init__(self, side: Side, *, every_prefix: bool = False) -> None:
        """Find out whether the model's layers can be run one by one."""
        self.side = side
        self._switch = _switch(side)
        self.decomposed: Decomposed | None = None
        self.reason = "every prefix is read on its own, as requested"
        """Why lanes do not share the read of their text; empty where they do."""
        if not every_prefix:
            try:
                self.decomposed, self.reason = decompose(side.bridge), ""
            except CaptureError as error:
                self.reason = str(error)

    def chunks(self, texts: Sequence[EncodedText], max_tokens: int) -> list[list[int]]:
        """Numbers of texts that are read together, of similar length.

        Args:
            texts: All texts.
            max_tokens: Most tokens in one forward pass, padding counted.
        """
        on_cpu = device_of(self.side.bridge).type == "cpu"
        most = min(max_tokens, _CPU_TOKENS) if on_cpu else max_tokens
        return plan_chunks([len(text.ids) for text in texts], most)

    @guarded
    def read(
        self, texts: Sequence[EncodedText], *, max_tokens: int, states: bool = True
    ) -> TextRead:
        """Read a batch of texts and all their lanes.

        Args:
            texts: What is read as one batch.
            max_tokens: Most tokens of lanes in one forward pass.
            states: Whether the tokens of the texts are read as well.

        Returns:
            States in the order of texts and tokens; lanes in the order of texts and cuts.
        """
        longest = max(max([len(t.ids), *(lane.reach for lane in t.lanes)]) for t in texts)
        shares = self.decomposed is not None and (self._switch is None or longest <= self._switch)
        with torch.no_grad():
            if shares and self.decomposed is not None:
                return self._shared(self.decomposed, texts, max_tokens, longest)
            return self._prefixes(texts, max_tokens, states)

    def _shared(
        self,
        model: Decomposed,
        texts: Sequence[EncodedText],
        max_tokens: int,
        longest: int,
    ) -> TextRead:
        batch = pad([t.ids for t in texts], pad_id=self.side.alignment.pad_id, padding="right")
        batch = batch.to(model.device)
        inputs = model.begin(batch.ids, batch.mask, batch.position_ids)
        resid, heads = inputs.resid, []
        for index, layer in enumerate(model.layers):
            resid, of_layer = run_block(layer, index, inputs, resid, _as_it_is)
            heads.append((of_layer.k, of_layer.v))
        row, pos = all_but_last(texts)
        kept = resid[row, pos]
        out = empty(texts)
        rules = visible(model, longest, self.side.alignment.pad_id)
        for part in packed(texts, max_tokens):
            self._lanes(model, texts, part, resid, heads, rules, out)
        return TextRead(states=kept, candidate_log_prob=out)

    def _lanes(
        self,
        model: Decomposed,
        texts: Sequence[EncodedText],
        part: Sequence[tuple[int, int, int]],
        resid: Tensor,
        heads: Sequence[tuple[Tensor, Tensor]],
        rules: Sequence[Bool[Tensor, "pos pos"] | None],
        out: Float[Tensor, "lane candidate"],
    ) -> None:
        """Run some lanes over the read of their texts and write down their candidates."""
        rows = sorted({text for text, _, _ in part})
        place = {text: row for row, text in enumerate(rows)}
        ids: list[list[int]] = [[] for _ in rows]
        positions: list[list[int]] = [[] for _ in rows]
        parents: list[list[int]] = [[] for _ in rows]
        cuts: list[list[int]] = [[] for _ in rows]
        first: dict[tuple[int, int], int] = {}
        for text, lane, _ in part:
            leaving, row = texts[text].lanes[lane], place[text]
            base = first[text, lane] = len(ids[row])
            ids[row] += leaving.trie.token
            positions[row] += [leaving.at + depth for depth in leaving.trie.depth]
            parents[row] += [base + p if p >= 0 else -1 for p in leaving.trie.parent]
            cuts[row] += [leaving.at] * leaving.n_nodes
        every = rows == list(range(len(texts)))
        at = slice(None) if every else torch.tensor(rows, device=model.device)
        ends = resid
        if any(ids):
            batch = as_batch(ids, positions, self.side.alignment.pad_id).to(model.device)
            seen = ancestors(parents, batch.ids.shape[1]).to(model.device)
            cut = padded(cuts, batch.ids.shape[1]).to(model.device)
            inputs = model.begin(batch.ids, batch.mask, batch.position_ids)
            ends = inputs.resid
            source = torch.arange(resid.shape[1], device=model.device)
            before = source[None, None] < cut[..., None]
            allowed = [within(rule, batch.position_ids, before, seen) for rule in rules]
            inputs = replace(inputs, allowed=tuple(allowed))
            for index, layer in enumerate(model.layers):
                past = (heads[index][0][at], heads[index][1][at])
                ends, _ = run_block(layer, index, inputs, ends, _as_it_is, past=past)
        slots: dict[tuple[int, int, bool], int] = {}
        reads: list[tuple[int, int, int, int]] = []
        for text, lane, number in part:
            leaving = texts[text].lanes[lane]
            for candidate, tokens in enumerate(leaving.reads):
                for node, token in tokens:
                    inside = node >= 0
                    spot = first[text, lane] + node if inside else leaving.at - 1
                    key = (place[text] if inside else text, spot, inside)
                    slot = slots.setdefault(key, len(slots))
                    reads.append((slot, token, number, candidate))
        stacked = torch.stack(
            [(ends if inside else resid)[row, spot] for row, spot, inside in slots]
        )
        add_reads(reads, stacked, model, out)

    def _prefixes(self, texts: Sequence[EncodedText], max_tokens: int, states: bool) -> TextRead:
        """Every lane by plain forwards over its whole prefix, and the texts by one of their own."""
        side, out = self.side, empty(texts)
        device = device_of(side.bridge)
        rows: list[tuple[int, ...]] = []
        index: dict[tuple[int, ...], int] = {}
        reads: list[tuple[int, int, int, int, int]] = []
        number = 0
        for text in texts:
            for lane in text.lanes:
                for candidate, tokens in enumerate(lane.reads):
                    for node, token in tokens:
                        row = (*text.ids[: lane.at], *lane.trie.path(node))
                        at = index.setdefault(row, len(index))
                        reads.append((at, len(row) - 1, token, number, candidate))
                number += 1
        rows = list(index)
        for numbers in plan_chunks([len(row) for row in rows], max_tokens):
            batch = pad([rows[i] for i in numbers], pad_id=side.alignment.pad_id, padding="right")
            batch = batch.to(device)
            local = {i: k for k, i in enumerate(numbers)}
            mine = [read for read in reads if read[0] in local]
            ends = batch.lengths - 1
            slots = (torch.arange(len(numbers), device=device), ends)
            logits = slot_logits(side.bridge, batch.ids, batch.mask, batch.position_ids, slots)
            log_prob = log_softmax(logits)
            for at, _, token, lane, candidate in mine:
                out[lane, candidate] += log_prob[local[at], token].double().cpu()
        kept = torch.zeros(0, 0)
        if states:
            last = len(list(side.bridge.blocks)) - 1  # pyright: ignore[reportArgumentType]
            batch = pad([t.ids for t in texts], pad_id=side.alignment.pad_id, padding="right")
            site = resid_post(last)
            whole = capture(side.bridge, batch.to(device), sites=[site]).at[site]
            row, pos = all_but_last(texts)
            kept = whole[row, pos]
        return TextRead(states=kept, candidate_log_prob=out)


def _as_it_is(_kind: Kind, _layer: int, value: Tensor) -> Tensor:
    return value


def _switch(side: Side) -> int | None:
    """Length beyond which the model's rotary angles depend on the length of the row."""
    config = hugging_face_model(side.bridge).config
    rope = getattr(config, "rope_parameters", None) or {}
    kinds = {str(rope.get("rope_type", ""))} | {
        str(part.get("rope_type", "")) for part in rope.values() if isinstance(part, dict)
    }
    if not kinds & {"dynamic", "longrope"}:
        return None
    original = getattr(config, "original_max_position_embeddings", None)
    original = original or rope.get("original_max_position_embeddings")
    return int(original or getattr(config, "max_position_embeddings", 0))
