"""What a run will cost: counted by stage, and turned into minutes by a short calibration."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from elicit.capture import full_logits
from elicit.edits import shape_of
from elicit.pair import ModelPair, Side, is_outline
from elicit.tasks import Task
from elicit.weights import slots_of

COLUMNS = 16
"""Tokens of a row of the calibrating batches."""
READ_ROWS, WRITE_ROWS = (8, 32, 128, 512), (16, 64)
"""Rows of these batches: larger ones are tried while there is time, because a small batch of a
small model is mostly overhead, which runs do not have."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One step of a run and its cost, which for generated texts is that of the longest allowed.

    Tokens count as one where they run through every layer and as less where they join later.
    """

    name: str
    """Name of the step, shown while it runs."""
    tokens: float | int = 0
    """Tokens read through all layers, gradients counted as two more."""
    unembedded: float | int = 0
    """Positions turned into logits over the whole vocabulary."""
    written: float | int = 0
    """Tokens written one after the other, the unembedding of each included."""
    texts: int = 0
    """Texts written, which progress counts; 0 where it counts jobs."""
    jobs: int = 1
    """Jobs of the stage that report progress one after the other."""
    reread: float | int = 0
    """Tokens of the written texts that are read through all layers again and turned into logits."""
    flop: float | int = 0
    """Operations outside of the model, such as eigenvalues."""
    nbytes: float | int = 0
    """Memory for activations and buffers while it runs."""
    context: float | int = 0
    """Positions that each of its tokens attends to, on average, padding counted."""
    cached: float | int = 0
    """Positions whose keys and values are kept at once while it writes."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """Size of one model of a pair."""

    layers: int
    """Parameters inside the layers."""
    head: int
    """Entries of the unembedding."""
    nbytes: int
    """Memory of both models."""
    attention: int = 0
    """Width of all heads of all layers."""
    cached: int = 0
    """Bytes of the keys and values of one position in all layers."""

    @classmethod
    def of(cls, pair: ModelPair) -> "Size":
        """Counts from the parameters of a pair."""
        slots = slots_of(pair).values()
        layers = sum(slot.base.numel() for slot in slots if slot.place.layer >= 0)
        shape = shape_of(pair.base)
        return cls(
            layers=layers,
            head=pair.d_vocab * pair.d_model,
            nbytes=bytes_held(pair, "base", "post"),
            attention=shape.n_layers * shape.n_heads * shape.d_head,
            cached=2 * shape.n_layers * shape.n_kv_heads * shape.d_head * pair.dtype.itemsize,
        )

    def read_flop(self, stage: Stage, length: float = 1.0) -> float:
        """Operations of a stage on whole rows, and outside of the model.

        `length`: of a written text, as a share of the longest allowed.
        """
        again = stage.reread * length
        inside = self.layers * (stage.tokens + again) + self.head * (stage.unembedded + again)
        attended = self.attention * stage.context * (stage.tokens + again)
        return 2.0 * inside + 4.0 * attended + stage.flop

    def write_flop(self, stage: Stage, length: float = 1.0) -> float:
        """Operations of a stage on one token a row."""
        inside = self.layers + self.head + 2.0 * self.attention * stage.context
        return 2.0 * inside * stage.written * length

    def memory(self, stage: Stage) -> float:
        """Bytes that a stage needs beside the models."""
        return float(stage.nbytes + self.cached * stage.cached)


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Measured operations per second of one device."""

    reading: float
    """In layers, over whole rows."""
    writing: float
    """In layers and unembedding, one token a row."""
    length: float = 1.0
    """Length of a text as a share of the longest allowed, as a few texts of both models have it."""

    def seconds(self, stage: Stage, size: Size) -> float:
        """Expected duration of a stage."""
        read = size.read_flop(stage, self.length) / self.reading
        return read + size.write_flop(stage, self.length) / self.writing


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """Cost of all stages of a run."""

    stages: tuple[Stage, ...]
    size: Size

    @property
    def flop(self) -> float:
        """Operations of the whole run."""
        return sum((self.flop_of(stage) for stage in self.stages), 0.0)

    def flop_of(self, stage: Stage) -> float:
        """Operations of one stage."""
        return self.size.read_flop(stage) + self.size.write_flop(stage)

    def minutes(self, speed: Speed) -> float:
        """Expected duration of the whole run."""
        return sum(speed.seconds(stage, self.size) for stage in self.stages) / 60

    @property
    def read(self) -> float:
        """Tokens read, written texts that are read again at their longest."""
        return float(sum(stage.tokens + stage.reread for stage in self.stages))

    @property
    def written(self) -> float:
        """Tokens written, every text at its longest."""
        return float(sum(stage.written for stage in self.stages))

    def to_json(self) -> dict[str, object]:
        """Counts that do not depend on the device."""
        return {
            "tokens_read": round(self.read),
            "tokens_written": round(self.written),
            "gflop": _rounded(self.flop / 1e9),
            "gib": _rounded(self.gib),
            "stages": [
                {"name": stage.name, "gflop": _rounded(self.flop_of(stage) / 1e9)}
                for stage in self.stages
            ],
        }

    @property
    def gib(self) -> float:
        """Memory of both models and of the largest stage, GiB."""
        most = max((self.size.memory(stage) for stage in self.stages), default=0.0)
        return (self.size.nbytes + most) / 2**30

    def sentence(self, speed: Speed) -> str:
        """The forecast in words."""
        gflop = _rounded(self.flop / 1e9)
        work = f"{gflop:,g} GFLOP" if gflop < 1e4 else f"{_rounded(gflop / 1e3):,g} TFLOP"
        texts = f" and at most {self.written:,.0f} written" if self.written else ""
        return (
            f"Forecast: {len(self.stages)} stage{'s' * (len(self.stages) != 1)}, "
            f"{self.read:,.0f} tokens read{texts}, "
            f"{work}, {_rounded(self.gib):,g} GiB, {duration(self.minutes(speed))} expected on "
            "this device."
        )


def bytes_held(pair: ModelPair, *roles: Literal["base", "post"]) -> int:
    """Bytes of one model or of both; what several tensors or both models read counts once.

    Args:
        pair: The two models, or their outline.
        roles: The models that count.
    """
    seen: dict[tuple[str, int], int] = {}
    for role in roles:
        for parameter in pair.side(role).bridge.parameters():
            storage = parameter.untyped_storage()
            if is_outline(pair):  # one model stands for both
                seen[role, storage._cdata] = storage.nbytes()
            elif parameter.is_meta:
                seen[role, id(parameter)] = parameter.nbytes
            else:
                seen["", storage.data_ptr()] = storage.nbytes()
    return sum(seen.values())


def forecast(pair: ModelPair, stages: Sequence[Stage]) -> Forecast:
    """Cost of some stages on a pair."""
    return Forecast(stages=tuple(stages), size=Size.of(pair))


def calibrate(pair: ModelPair, *, seconds: float = 2.0) -> Speed:
    """Speed of base on this device: forwards of small batches for at most about two seconds.

    `seconds`: time to spend; each of the two shapes is run twice at least.
    """
    size = Size.of(pair)
    columns = min(COLUMNS, pair.side("base").n_positions or COLUMNS)
    reading = _fastest(pair, READ_ROWS, columns, seconds / 2) * 2 * size.layers
    # One position a row is unembedded, as in writing.
    writing = _fastest(pair, WRITE_ROWS, 1, seconds / 2) * 2 * (size.layers + size.head)
    return Speed(reading=reading, writing=writing)


def _fastest(pair: ModelPair, rows: Sequence[int], columns: int, seconds: float) -> float:
    """Tokens per second of the best of several batches; larger ones while there is time."""
    clock = clock_of(pair)
    best, began, dearest = 0.0, clock(), 0.0
    for number, n in enumerate(rows):
        start = clock()
        left = seconds - (start - began)
        # Two forwards of it must fit, which take at most as much longer as they are larger.
        if number and dearest * n / rows[number - 1] > left:
            break
        ids = torch.zeros((n, columns), dtype=torch.long, device=pair.device)
        best = max(best, _rate(pair, ids, seconds / 8))
        dearest = clock() - start
    return best


def clock_of(pair: ModelPair) -> Callable[[], float]:
    """What measures time that may be spent: of the processor alone, where it is the device.

    On a machine that others use as well the clock on the wall would end a measurement early.
    """
    return time.process_time if pair.device == "cpu" else time.perf_counter


@torch.no_grad()
def _rate(pair: ModelPair, ids: torch.Tensor, seconds: float) -> float:
    """Tokens per second of the fastest of several forwards."""
    places = torch.arange(ids.shape[1], device=ids.device).expand_as(ids).contiguous()
    last = places[0, -1:]
    began, best, n = time.perf_counter(), float("inf"), 0
    while n < 2 or (n < 5 and time.perf_counter() - began < min(seconds, 20 * best)):
        start = time.perf_counter()
        full_logits(pair.base, ids, torch.ones_like(ids), places, columns=last)
        if ids.is_cuda:
            torch.cuda.synchronize(ids.device)
        best, n = min(best, time.perf_counter() - start), n + 1
    return ids.numel() / best


def duration(minutes: float) -> str:
    """A duration in words, no finer than it is known.

    >>> duration(0.2), duration(3.4), duration(200.0)
    ('under a minute', 'about 3 minutes', 'about 3.3 hours')
    """
    if minutes < 0.75:
        return "under a minute"
    if minutes < 90:
        n = max(1, round(minutes))
        return f"about {n} minute{'s' * (n != 1)}"
    return f"about {minutes / 60:.2g} hours"


def _rounded(value: float) -> float:
    """Three significant digits: a forecast is no finer."""
    return float(f"{value:.3g}")


def prompt_tokens(side: Side, task: Task, *, templated: bool) -> int:
    """Tokens of all prompts of a task."""
    encode = side.alignment.templated if templated else side.alignment.plain
    return sum(len(encode(problem.prompt)) for problem in task)
