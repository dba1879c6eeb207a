"""What a command needs: memory on which device, operations, minutes on cards, flags that fit."""

from collections.abc import Sequence
from dataclasses import dataclass

from elicit.jobs._forecast import Forecast, bytes_held, forecast
from elicit.jobs._frame import TINY
from elicit.jobs._loading import dtype_of, loading_of
from elicit.jobs._plan.cards import Card, card_of
from elicit.jobs._plan.fits import Fit, fit, largest_parameter, sharing
from elicit.jobs._spec import PairSpec
from elicit.jobs.registry import COMMANDS
from elicit.pair import ModelPair, outline_pair, resolve_device


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
    """Where base would compute."""
    post_device: str
    """Where post would; the same unless it is given a device of its own."""
    offload: bool
    """Whether weights are in host memory between two calls."""
    fits: tuple[Fit, ...]
    """One a card."""
    largest: int = 0
    """Bytes of weights that an offload has on the device: of one call, and of the next on a GPU."""
    notes: tuple[str, ...] = ()

    @property
    def tiny(self) -> bool:
        """Whether a run on the CPU takes one thread, as more would slow it down."""
        return self.n_parameters < TINY

    @property
    def placement(self) -> dict[str, float]:
        """GiB by what needs them and where.

        Activations, keys and values are those of the stage that needs most; either model may run
        it, so that each of two devices must hold them.
        """
        size, stages = self.forecast.size, self.forecast.stages
        base = self.nbytes / 2**30
        kept = [
            "in host memory" if self.offload else f"on {where}"
            for where in (self.device, self.post_device)
        ]
        found = {f"base {kept[0]}": base, f"post {kept[1]}": size.nbytes / 2**30 - base}
        for where in dict.fromkeys((self.device, self.post_device)):
            found[f"activations on {where}"] = float(max(s.nbytes for s in stages)) / 2**30
            cached = max(s.cached for s in stages) * size.cached
            found[f"keys and values on {where}"] = cached / 2**30
        loads = not self.offload and self.device != "cpu"
        return {**found, "host memory while loading": base if loads else 0.0}

    @property
    def device_gib(self) -> float:
        """GiB needed on the device, or on all devices of a map."""
        if not self.offload:
            return self.forecast.gib
        return self.forecast.gib + (self.largest - self.forecast.size.nbytes) / 2**30

    @property
    def host_gib(self) -> float:
        """GiB of weights and activations needed in host memory, beside what a process takes."""
        on_host = self.forecast.size.nbytes / 2**30 if self.offload else 0.0
        if self.device == "cpu":
            return on_host + self.device_gib
        return on_host or self.placement["host memory while loading"]

    def to_json(self) -> dict[str, object]:
        """The plan for scripts."""
        return {
            "command": self.command,
            "n_parameters": self.n_parameters,
            "dtype": self.dtype,
            "device": self.device,
            "post_device": self.post_device,
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
                    "moved_gib": float(f"{fit.moved:.3g}"),
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
    planner = Planner(cards)
    return tuple(planner.plan(spec) for spec in specs)


class Planner:
    """Plans of many commands, which reads the configurations of each pair once."""

    def __init__(self, cards: Sequence[str] = ()) -> None:
        """Plan for some cards, by name.

        Raises:
            SpecError: There is no such card.
        """
        self._cards = [card_of(name) for name in cards]
        self._outlines: dict[tuple[object, ...], ModelPair] = {}

    def plan(self, spec: PairSpec) -> Plan:
        """What one command needs; see `plan`.

        Args:
            spec: Its options.

        Raises:
            ElicitError: The command itself would refuse it before its models are loaded.
        """
        key = (spec.pair, spec.base, spec.post, spec.dtype, spec.vocab, repr(loading_of(spec)))
        if key not in self._outlines:
            self._outlines[key] = outline_pair(
                spec.pair or str(spec.base),
                spec.post,
                dtype=dtype_of(spec),
                vocab=spec.vocab,
                loading=loading_of(spec),
            )
        return _planned(spec, self._outlines[key], self._cards)


def _planned(spec: PairSpec, pair: ModelPair, cards: Sequence[Card]) -> Plan:
    # Before anything is counted: two places for one tensor are refused.
    apart = loading_of(spec).apart(spec.device)
    sizes: dict[int, Forecast] = {}

    def at(max_tokens: int) -> Forecast:
        if max_tokens not in sizes:
            sizes[max_tokens] = _forecast(spec, pair, max_tokens)
        return sizes[max_tokens]

    whole = at(spec.max_tokens)
    fits = [fit(card, at, spec, pair) for card in cards]
    where = "all devices of the map" if spec.device_map else str(resolve_device(spec.device))
    return Plan(
        command=spec.command,
        forecast=whole,
        n_parameters=sum(p.numel() for p in pair.base.parameters()),
        nbytes=bytes_held(pair, "base"),
        dtype=str(pair.dtype).removeprefix("torch."),
        device=where,
        post_device=str(resolve_device(str(spec.post_device))) if apart else where,
        offload=spec.offload,
        fits=tuple(fits),
        largest=(1 + where.startswith("cuda")) * largest_parameter(pair) * pair.dtype.itemsize,
        notes=pair.notes,
    )


def _forecast(spec: PairSpec, pair: ModelPair, max_tokens: int) -> Forecast:
    """Stages of a command, exactly as the command itself counts them."""
    spec = spec.model_copy(update={"max_tokens": max_tokens})
    job = COMMANDS[spec.command].job
    inputs = job.prepare(spec, pair, job.check(spec)).inputs
    whole = forecast(pair, job.costing.stages(spec, pair, inputs))
    return sharing(whole, pair) if spec.share_weights else whole
