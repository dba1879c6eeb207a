"""What a command needs: memory on which device, operations, minutes on cards, flags that fit."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from elicit.jobs._forecast import Forecast, Size, Stage, bytes_held, forecast
from elicit.jobs._loading import dtype_of, loading_of
from elicit.jobs._plan.cards import BANDWIDTH_EFFICIENCY, LAYER_SECONDS, Card, card_of
from elicit.jobs._spec import PairSpec
from elicit.jobs.registry import COMMANDS
from elicit.pair import ModelPair, outline_pair, resolve_device
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
    """Flags to add; empty where it fits as it is."""
    n_cards: int
    """Cards needed; 0 where it fits none of what was tried."""
    gib: float
    """Memory needed with these flags, GiB, over all cards."""
    minutes: float | None
    """None where it does not fit, where the card's rate in this precision is not known, or where
    weights come from host memory."""

    @property
    def words(self) -> str:
        """The outcome in words."""
        if not self.n_cards:
            return "does not fit"
        return self.flags or "fits as it is"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What one command needs."""

    command: str
    forecast: Forecast
    n_parameters: int
    """Of one model."""
    nbytes: int
    """Of base."""
    dtype: str
    device: str
    """Where the models would compute."""
    kept: str
    """Where their weights are between two calls."""
    fits: tuple[Fit, ...]
    """One a card."""
    notes: tuple[str, ...] = ()

    @property
    def placement(self) -> dict[str, float]:
        """GiB by what needs them and where; most that one stage needs for the last two."""
        size, stages = self.forecast.size, self.forecast.stages
        base = self.nbytes / 2**30
        return {
            f"base {self.kept}": base,
            f"post {self.kept}": size.nbytes / 2**30 - base,
            f"activations on {self.device}": float(max(s.nbytes for s in stages)) / 2**30,
            f"keys and values on {self.device}": max(s.cached for s in stages)
            * size.cached
            / 2**30,
            "host memory while loading": base
            if self.kept == f"on {self.device}" != "on cpu"
            else 0.0,
        }

    def to_json(self) -> dict[str, object]:
        """The plan for scripts."""
        return {
            "command": self.command,
            "n_parameters": self.n_parameters,
            "dtype": self.dtype,
            "device": self.device,
            **self.forecast.to_json(),
            "placement_gib": {name: float(f"{gib:.3g}") for name, gib in self.placement.items()},
            "cards": [
                {
                    "card": fit.card,
                    "fits": bool(fit.n_cards),
                    "flags": fit.flags,
                    "n_cards": fit.n_cards,
                    "gib": float(f"{fit.gib:.3g}"),
                    "minutes": None if fit.minutes is None else float(f"{fit.minutes:.2g}"),
                }
                for fit in self.fits
            ],
            "notes": list(self.notes),
        }


def plan(
    *specs: PairSpec, cards: Sequence[str] = ("L4", "A100-80GB", "H100", "H200")
) -> tuple[Plan, ...]:
    """What commands need on a pair, from configurations, tokenizers and task files alone.

    Texts count at their longest. Minutes on a card are its data sheet's rates times an assumed
    efficiency (`elicit.jobs._plan.cards`), not a measurement.

    Args:
        specs: Options of the commands, all of one pair.
        cards: Names of cards.

    Raises:
        ElicitError: An option, a configuration or a task file is invalid, or there is no such
            card; the same as the command itself would refuse before its models are loaded.
    """
    chosen = [card_of(name) for name in cards]
    outlines: dict[tuple[object, ...], ModelPair] = {}
    plans = []
    for spec in specs:
        key = (spec.pair, spec.base, spec.post, spec.dtype, spec.vocab, repr(loading_of(spec)))
        if key not in outlines:
            outlines[key] = outline_pair(
                spec.pair or str(spec.base),
                spec.post,
                dtype=dtype_of(spec),
                vocab=spec.vocab,
                loading=loading_of(spec),
            )
        plans.append(_planned(spec, outlines[key], chosen))
    return tuple(plans)


def _planned(spec: PairSpec, pair: ModelPair, cards: Sequence[Card]) -> Plan:
    whole = _forecast(spec, pair, spec.max_tokens)
    shorter = [
        n for n in (8192, 4096, 2048, 1024, LEAST_TOKENS) if LEAST_TOKENS <= n < spec.max_tokens
    ]
    sizes = {spec.max_tokens: whole}

    def at(max_tokens: int) -> Forecast:
        if max_tokens not in sizes:
            sizes[max_tokens] = _forecast(spec, pair, max_tokens)
        return sizes[max_tokens]

    # Sharing changes no number, so that it is tried before what does.
    held = [False] if spec.share_weights or not _equal_in_both(pair) else [False, True]
    fits = []
    for card in cards:
        found = None
        for dtype, share in itertools.product(dict.fromkeys((pair.dtype.itemsize, 2)), held):
            for max_tokens in (spec.max_tokens, *shorter):
                whole_run = _sharing(at(max_tokens), pair) if share else at(max_tokens)
                needed = _as(whole_run, dtype, pair)
                if found is None and needed.gib <= USABLE * card.memory:
                    flags = [_flags(spec, pair, dtype, max_tokens), "--share-weights" * share]
                    found = _fit(card, needed, dtype, pair, " ".join(filter(None, flags)))
        if spec.offload:
            fits.append(_offloaded(card, at, spec, pair))
            continue
        found = found or _split(card, at, spec, pair)
        fits.append(found if found.n_cards else _offloaded(card, at, spec, pair))
    where = "all devices of the map" if spec.device_map else str(resolve_device(spec.device))
    return Plan(
        command=spec.command,
        forecast=whole,
        n_parameters=sum(p.numel() for p in pair.base.parameters()),
        nbytes=bytes_held(pair, "base"),
        dtype=str(pair.dtype).removeprefix("torch."),
        device=where,
        kept="in host memory" if spec.offload else f"on {where}",
        fits=tuple(fits),
        notes=pair.notes,
    )


def _forecast(spec: PairSpec, pair: ModelPair, max_tokens: int) -> Forecast:
    """Stages of a command, exactly as the command itself counts them."""
    spec = spec.model_copy(update={"max_tokens": max_tokens})
    job = COMMANDS[spec.command].job
    inputs = job.prepare(spec, pair, job.check(spec)).inputs
    whole = forecast(pair, job.costing.stages(spec, pair, inputs))
    return _sharing(whole, pair) if spec.share_weights else whole


def _sharing(whole: Forecast, pair: ModelPair) -> Forecast:
    """The same run with what is surely equal in both models in memory once."""
    size = whole.size
    return replace(whole, size=replace(size, nbytes=size.nbytes - _equal_in_both(pair)))


def _equal_in_both(pair: ModelPair) -> int:
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


def _split(card: Card, at: Callable[[int], Forecast], spec: PairSpec, pair: ModelPair) -> Fit:
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


def _offloaded(card: Card, at: Callable[[int], Forecast], spec: PairSpec, pair: ModelPair) -> Fit:
    """The card with one module on it at a time, and all other weights in host memory.

    How long that takes depends on the bus and is not said.
    """
    largest, least = max(p.numel() for p in pair.base.parameters()), float("inf")
    for itemsize, max_tokens in itertools.product(
        dict.fromkeys((pair.dtype.itemsize, 2)),
        dict.fromkeys((spec.max_tokens, min(spec.max_tokens, 2048))),
    ):
        whole = _as(at(max_tokens), itemsize, pair)
        gib = replace(whole, size=replace(whole.size, nbytes=largest * itemsize)).gib
        if gib <= USABLE * card.memory:
            added = [_flags(spec, pair, itemsize, max_tokens), "--offload" * (not spec.offload)]
            flags = " ".join(filter(None, added))
            return Fit(card=card.name, flags=flags, n_cards=1, gib=gib, minutes=None)
        least = min(least, gib)
    return Fit(card=card.name, flags="", n_cards=0, gib=least, minutes=None)


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
