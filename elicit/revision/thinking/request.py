"""What Think@n is asked for: checked before anything is written, then begun, read and finished."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.edits import active
from elicit.pair import ModelPair, weights_digest
from elicit.results import digest_json, digest_tensors
from elicit.revision.confidence import Confidence, confidence
from elicit.revision.convention import DepthConvention
from elicit.revision.early import DeepThinking, deep_thinking
from elicit.revision.errors import RevisionError
from elicit.revision.lens import Lens, TunedLens
from elicit.revision.profile import lens_name
from elicit.revision.sides import Side, sides_of
from elicit.revision.traces import Traces
from elicit.rollouts import Generation, Rollouts, Sampling, edits_digest, resume, rollouts
from elicit.runs import Checkpoint, Execution, NoCheckpoint, ScopedCheckpoint
from elicit.stats import Inference
from elicit.tasks import Task

GENERATION = Generation(n_samples=48, temperature=1.0, max_new_tokens=1024)
"""What the paper samples."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Request:
    """One model's samples to the problems of a task, of which some are kept by their prefix.

    Raises:
        RevisionError: Nothing could be kept or rejected, the prefix is no part of the texts, all
            samples would be equal, or the model or its lens cannot be read.
        RolloutError: No token could be drawn.
    """

    pair: ModelPair
    """The two models."""
    task: Task
    """Problems with their right answers."""
    model: str
    """Which model, base or post."""
    prefix: int
    """Tokens of each that are read."""
    keep: float
    """Share of the samples that vote."""
    generation: Generation
    """How whole texts are generated, and how many samples of each problem."""
    convention: DepthConvention
    """What settled and deep mean."""
    lens: Lens | None
    """How layers are read."""
    inference: Inference
    """Coverage and resamples of the intervals, and the seed."""
    execution: Execution
    """Tokens per forward pass, memory, checkpoint and progress."""

    def __post_init__(self) -> None:
        """Refuse what would be found out only after hours, or never."""
        if self.n < 2:
            raise RevisionError(
                f"n is {self.n}, so there would be nothing to choose among and no vote. Pass 2 or "
                "more samples a problem."
            )
        longest = self.generation.max_new_tokens
        if not 1 <= self.prefix < longest:
            raise RevisionError(
                f"prefix is {self.prefix} and a text has at most {longest} tokens, so samples "
                "would be chosen by nothing or only once they are finished. Pass 1 to "
                f"{longest - 1}, or raise max_new_tokens."
            )
        if not 0 < self.keep < 1 or not 0 < self.n_kept < self.n:
            kept = f"{self.n_kept} of" if 0 < self.keep < 1 else "none or all of"
            raise RevisionError(
                f"keep is {self.keep}, which keeps {kept} {self.n} samples, so there would be no "
                "vote or nothing would be saved. Pass a share between 0 and 1 that keeps at least "
                "one sample and not all, for example 0.5."
            )
        self.convention.deep_from(self.pair.n_layers)
        # Another model's lens is refused here, not once everything is sampled.
        _ = self.side

    @property
    def n(self) -> int:
        """Samples of each problem."""
        return self.generation.n_samples

    @property
    def sampling(self) -> Sampling:
        """What the tokens of whole texts depend on."""
        return self.generation.sampling(self.pair.side(self.model), self.inference.seed)

    @property
    def n_kept(self) -> int:
        """Samples of a problem that are finished."""
        return int(self.keep * self.n + 0.5)

    @cached_property
    def side(self) -> Side:
        """The model, with its head and lens."""
        (side,) = sides_of(self.pair, models=(self.model,), lens=self.lens)
        return side

    def begin(self) -> Rollouts:
        """All samples of all problems up to the end of their prefix."""
        return rollouts(
            self.pair.side(self.model),
            self.task,
            generation=replace(self.generation, max_new_tokens=self.prefix),
            seed=self.inference.seed,
            execution=self.execution,
        )

    def finish(self, begun: Rollouts, rows: Sequence[int]) -> Rollouts:
        """Some samples gone on with to their end, the same tokens as if written in one go.

        Args:
            begun: All samples.
            rows: Which are finished.
        """
        return resume(
            self.pair.side(self.model),
            self.task,
            begun.select(rows),
            max_new_tokens=self.generation.max_new_tokens,
            batch_size=self.generation.batch_size,
            extractor=self.generation.extract,
            execution=self.execution,
        )

    def prefixes(self, begun: Rollouts) -> "Prefixes":
        """What is read of the samples: each different prefix once, so that equal ones tie exactly.

        Args:
            begun: All samples.
        """
        all_rows = Traces.of_rollouts(begun, self.task, source=self.model)
        number: dict[tuple[int, ...], int] = {}
        once, of_row = [], []
        for place, row in enumerate(all_rows.rows):
            if row not in number:
                number[row] = len(once)
                once.append(place)
            of_row.append(number[row])
        return Prefixes(traces=all_rows.part(once), of_row=torch.tensor(of_row), n=self.n)

    def depths(self, prefixes: "Prefixes") -> DeepThinking:
        """Which tokens of the prefixes settle deep.

        Args:
            prefixes: What is read.
        """
        return deep_thinking(
            self.pair,
            prefixes.traces,
            model=self.model,
            convention=self.convention,
            lens=self.lens,
            execution=replace(self.execution, checkpoint=self._cells(prefixes)),
        )

    def confidence(self, prefixes: "Prefixes") -> Confidence:
        """How sure the model is in the prefixes.

        Args:
            prefixes: What is read.
        """
        return confidence(
            self.side,
            prefixes.traces,
            n_layers=self.pair.n_layers,
            pad_id=self.pair.alignment.pad_id,
            execution=replace(self.execution, checkpoint=self._cells(prefixes)),
        )

    def _cells(self, prefixes: "Prefixes") -> Checkpoint:
        """Cells of readings, under a name that says all that they depend on."""
        if isinstance(self.execution.checkpoint, NoCheckpoint):
            return self.execution.checkpoint
        model, lens = self.side.model, self.side.lens
        tuned = isinstance(lens, TunedLens)
        edits = active(model)
        told = {
            "weights": weights_digest(model),
            "edits": edits_digest([e for b in edits.stack for e in b.edits] if edits else []),
            "traces": prefixes.traces.digest,
            "convention": str(self.convention),
            "lens": digest_tensors({"weight": lens.weight, "bias": lens.bias})
            if tuned
            else lens_name(lens),
            "max_tokens": self.execution.max_tokens,
        }
        return ScopedCheckpoint(self.execution.checkpoint, f"think-{digest_json(told)}")

    def arguments(self) -> Mapping[str, object]:
        """What was asked, as it is kept with the result."""
        return {
            "model": self.model,
            "n": self.n,
            "prefix": self.prefix,
            "keep": self.keep,
            "temperature": self.generation.temperature,
            "top_p": self.generation.top_p,
            "max_new_tokens": self.generation.max_new_tokens,
            "convention": str(self.convention),
            "lens": lens_name(self.side.lens),
            "level": self.inference.level,
            "n_resamples": self.inference.n_resamples,
        }


@dataclass(frozen=True, eq=False, kw_only=True)
class Prefixes:
    """The different prefixes of all samples."""

    traces: Traces
    """Each once."""
    of_row: Int[Tensor, " row"]
    """Which of them each sample begins with."""
    n: int
    """Samples of a problem."""

    def each(self, values: Float[Tensor, " trace"]) -> Float[Tensor, "problem sample"]:
        """A number of every prefix, for the samples that begin with it.

        Args:
            values: One a prefix.
        """
        return values[self.of_row].view(-1, self.n)
