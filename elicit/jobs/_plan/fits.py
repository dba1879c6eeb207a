"""How a command fits a card, with which flags, and for how long it runs there."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

from elicit.jobs._forecast import Forecast, Size, Stage, bytes_held
from elicit.jobs._loading import loading_of
from elicit.jobs._plan.cards import (
    BANDWIDTH_EFFICIENCY,
    BUS_EFFICIENCY,
    LAYER_SECONDS,
    Card,
)
from elicit.jobs._spec import PairSpec
from elicit.pair import ModelPair
from elicit.rollouts import Generation
from elicit.weights import changed_slots, slots_of

USABLE = 0.9
"""Share of a card's memory that a run may fill: the rest is its driver's and fragments."""
LEAST_TOKENS = 512
"""Fewest tokens a forward pass that are proposed."""
MOST_CARDS = 8
"""Most cards over which a pair is proposed to be split."""


@dataclass(frozen=True, kw_only=True)
class Fit:
    """How a command fits a card, and for how long it runs there."""

    card: str
    flags: str
    """Flags to add, and given ones to leave out; empty where it fits as it is."""
    n_cards: int
    """Cards needed; 0 where it fits none of what was tried."""
    gib: float
    """Memory needed with these flags, GiB, over all cards."""
    minutes: float | None
    """None where it does not fit, or where the card's rate in this precision is not known."""
    moved: float = 0.0
    """GiB of weights that go over the bus because they are kept in host memory.

    As if every forward read as many tokens as it may: smaller ones move the same, so that then
    `minutes` is a lower bound.
    """

    @property
    def words(self) -> str:
        """The outcome in words."""
        if not self.n_cards:
            return "does not fit"
        return self.flags or "fits as it is"


At = Callable[[int], Forecast]
"""The run with so many tokens a forward pass."""


def fit(card: Card, at: At, spec: PairSpec, pair: ModelPair) -> Fit:
    """How a command fits a card, with as few changed options as possible.

    Args:
        card: The card.
        at: The run, by its tokens a forward pass.
        spec: Options of the command.
        pair: Outline of the two models.
    """
    if spec.offload:
        return _offloaded(card, at, spec, pair)
    apart = loading_of(spec).apart(spec.device)
    found = None if apart else _whole(card, at, spec, pair)
    found = found or _one_each(card, at, spec, pair)
    if found is None and not apart:
        found = _split(card, at, spec, pair)
    if found is None or not found.n_cards:
        found = _offloaded(card, at, spec, pair)
    return _without(found, spec)


def _without(found: Fit, spec: PairSpec) -> Fit:
    """The same where options that were given are refused beside the flags: they are to go."""
    over_devices, in_host = "--device-map" in found.flags, "--offload" in found.flags
    gone = [
        flag
        for flag, excluded in (
            ("--cuda-graphs", spec.cuda_graphs and (over_devices or in_host)),
            ("--device-map", spec.device_map is not None and in_host),
            ("--post-device", spec.post_device is not None and over_devices),
        )
        if excluded
    ]
    return replace(found, flags=f"{found.flags} without {', '.join(gone)}") if gone else found


def _narrower(spec: PairSpec) -> tuple[int, ...]:
    """Tokens a forward pass that are tried, the given number first."""
    shorter = [
        n for n in (8192, 4096, 2048, 1024, LEAST_TOKENS) if LEAST_TOKENS <= n < spec.max_tokens
    ]
    return (spec.max_tokens, *shorter)


def _whole(card: Card, at: At, spec: PairSpec, pair: ModelPair) -> Fit | None:
    """Both models on one card; None where they do not fit."""
    # Sharing changes no number, so that it is tried before what does.
    held = [False] if spec.share_weights or not equal_in_both(pair) else [False, True]
    for dtype, share in itertools.product(dict.fromkeys((pair.dtype.itemsize, 2)), held):
        for max_tokens in _narrower(spec):
            whole_run = sharing(at(max_tokens), pair) if share else at(max_tokens)
            needed = _as(whole_run, dtype, pair)
            if needed.gib <= USABLE * card.memory:
                flags = [_flags(spec, pair, dtype, max_tokens), "--share-weights" * share]
                return _fit(card, needed, dtype, pair, " ".join(filter(None, flags)))
    return None


def _one_each(card: Card, at: At, spec: PairSpec, pair: ModelPair) -> Fit | None:
    """One model on each of two cards, and room for a stage on both; None where they do not fit."""
    if spec.device_map is not None or spec.share_weights:
        return None
    base = bytes_held(pair, "base")
    larger = max(base, at(spec.max_tokens).size.nbytes - base)
    apart = loading_of(spec).apart(spec.device)
    given = "" if apart else "--device cuda:0 --post-device cuda:1"
    for dtype, max_tokens in itertools.product(
        dict.fromkeys((pair.dtype.itemsize, 2)), _narrower(spec)
    ):
        needed = at(max_tokens)
        alone = replace(needed, size=replace(needed.size, nbytes=larger))
        if _as(alone, dtype, pair).gib <= USABLE * card.memory:
            flags = _flags(spec, pair, dtype, max_tokens).replace("--device cuda", "").strip()
            both = _as(needed, dtype, pair)
            found = _fit(card, both, dtype, pair, f"{flags} {given}".strip())
            room = max(both.size.memory(stage) for stage in both.stages) / 2**30
            return replace(found, n_cards=2, gib=both.gib + room)
    return None


def sharing(whole: Forecast, pair: ModelPair) -> Forecast:
    """The same run with what is surely equal in both models in memory once."""
    size = whole.size
    return replace(whole, size=replace(size, nbytes=size.nbytes - equal_in_both(pair)))


def equal_in_both(pair: ModelPair) -> int:
    """Bytes of one model that the other has too; 0 for a checkpoint, whose weights are not read."""
    changed = changed_slots(pair)
    return sum(slot.post.nbytes for name, slot in slots_of(pair).items() if name not in changed)


def _as(whole: Forecast, itemsize: int, pair: ModelPair) -> Forecast:
    """The same run with weights and cache of another precision; activations count as float32."""
    share = itemsize / pair.dtype.itemsize
    size = whole.size
    return replace(
        whole,
        size=replace(size, nbytes=round(size.nbytes * share), cached=round(size.cached * share)),
    )


def _flags(spec: PairSpec, pair: ModelPair, itemsize: int, max_tokens: int) -> str:
    """Flags for what differs from the options given."""
    return " ".join(
        flag
        for flag, needed in (
            ("--dtype bfloat16", itemsize != pair.dtype.itemsize),
            (f"--max-tokens {max_tokens}", max_tokens != spec.max_tokens),
            ("--device cuda", spec.device == "cpu" and spec.device_map is None),
        )
        if needed
    )


def _split(card: Card, at: At, spec: PairSpec, pair: ModelPair) -> Fit:
    """The fewest cards over which both models can be spread."""
    itemsize = min(pair.dtype.itemsize, 2)
    max_tokens = min(spec.max_tokens, 2048)
    needed = _as(at(max_tokens), itemsize, pair)
    most = max(needed.size.memory(stage) for stage in needed.stages)
    room = USABLE * card.memory - most / 2**30
    n_cards = -(-needed.size.nbytes // max(int(room * 2**30), 1)) if room > 0 else 0
    if not 0 < n_cards <= MOST_CARDS:
        return Fit(card=card.name, flags="", n_cards=0, gib=needed.gib, minutes=None)
    flags = _flags(spec, pair, itemsize, max_tokens).replace("--device cuda", "").strip()
    return replace(
        _fit(card, needed, itemsize, pair, f"{flags} --device-map auto".strip()), n_cards=n_cards
    )


def _offloaded(card: Card, at: At, spec: PairSpec, pair: ModelPair) -> Fit:
    """The card with one module on it and the next on its way, all other weights in host memory."""
    least = float("inf")
    for itemsize, max_tokens in itertools.product(
        dict.fromkeys((pair.dtype.itemsize, 2)),
        dict.fromkeys((spec.max_tokens, min(spec.max_tokens, 2048))),
    ):
        whole = _as(at(max_tokens), itemsize, pair)
        largest = 2 * largest_parameter(pair) * itemsize  # one computes, the next is on its way
        gib = replace(whole, size=replace(whole.size, nbytes=largest)).gib
        if gib <= USABLE * card.memory:
            added = [_flags(spec, pair, itemsize, max_tokens), "--offload" * (not spec.offload)]
            fit = _fit(card, whole, itemsize, pair, " ".join(filter(None, added)))
            moved = sum(_moved(stage, whole.size, itemsize, max_tokens) for stage in whole.stages)
            # A copy goes on while the module before computes; what that hides is not known here.
            waiting = moved / (1e9 * card.bus * BUS_EFFICIENCY) / 60
            minutes = None if fit.minutes is None else fit.minutes + waiting
            return replace(fit, gib=gib, minutes=minutes, moved=moved / 2**30)
        least = min(least, gib)
    return Fit(card=card.name, flags="", n_cards=0, gib=least, minutes=None)


def largest_parameter(pair: ModelPair) -> int:
    """Entries of the largest parameter; an offload has it on the device for its call."""
    return max(p.numel() for p in pair.base.parameters())


def _moved(stage: Stage, size: Size, itemsize: int, max_tokens: int) -> float:
    """Bytes of weights that a stage brings to the device, at least.

    Every forward of either model moves each layer it runs and the whole embedding; one that is
    turned into logits the unembedding too, even where both are one matrix. Where gradients are
    taken it is no bound, as those count as two forwards more and move as much as one.
    """
    read = stage.tokens + stage.reread
    forwards = max(read / max_tokens, float(read > 0))
    steps = stage.written / Generation().batch_size
    logits = bool(stage.unembedded or stage.reread)
    a_forward = size.layers + size.head * (1 + logits)
    return itemsize * (forwards * a_forward + steps * (size.layers + 2 * size.head))


def _fit(card: Card, needed: Forecast, itemsize: int, pair: ModelPair, flags: str) -> Fit:
    rate = card.rate(itemsize)
    seconds = None
    if rate is not None:
        stages = needed.stages
        seconds = sum(_seconds(stage, needed.size, card, rate, itemsize, pair) for stage in stages)
    return Fit(
        card=card.name,
        flags=flags,
        n_cards=1,
        gib=needed.gib,
        minutes=None if seconds is None else seconds / 60,
    )


def _seconds(
    stage: Stage, size: Size, card: Card, rate: float, itemsize: int, pair: ModelPair
) -> float:
    """Time of a stage: products, and for every token written the weights and the layers' start."""
    rows = Generation().batch_size
    steps = stage.written / rows
    weights = itemsize * (size.layers + size.head) + size.cached * stage.cached
    step = max(
        weights / (1e9 * card.bandwidth * BANDWIDTH_EFFICIENCY), pair.n_layers * LAYER_SECONDS
    )
    return (size.read_flop(stage) + size.write_flop(stage)) / rate + steps * step
