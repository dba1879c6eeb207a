"""Samples of which some are kept by their prefix: checked, sampled, read, finished."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.edits import active
from elicit.pair import ModelPair, weights_digest
from elicit.results import digest_json, digest_tensors
from elicit.revision._readers import Reader, readers_of
from elicit.revision.confidence import Confidence, confidence
from elicit.revision.convention import DepthConvention
from elicit.revision.early import DeepThinking, deep_thinking
from elicit.revision.errors import RevisionError
from elicit.revision.lens import Lens, TunedLens, lens_name
from elicit.rollouts import Generation, Rollouts, Sampling, edits_digest, resume, rollouts
from elicit.runs import Checkpoint, Execution, NoCheckpoint, ScopedCheckpoint
from elicit.stats import Inference
from elicit.tasks import Task
from elicit.texts import TokenRows

GENERATION = Generation(n_samples=48, temperature=1.0, max_new_tokens=1024)
"""What the paper samples."""


@dataclass(frozen=True, eq=False, kw_only=True)
class PrefixSelection:
    """Which samples are kept: those whose prefixes have the highest deep-thinking ratio."""

    prefix: int = 50
    """Tokens of each sample that are read; fewer where it ends before."""
    keep: float = 0.5
    """Share of the samples that vote."""
    convention: DepthConvention = DepthConvention()
    """What settled and deep mean; the paper's as corrected."""
    lens: Lens | None = None
    """How layers are read; the logit lens if None."""


@dataclass(frozen=True, eq=False)
class PrefixSampler:
    """One model's samples for the problems of a task, of which some are kept by their prefix.

    Raises:
        RevisionError: Nothing could be kept or rejected, the prefix is not a part of the texts, all
            samples would be equal, or the model or its lens cannot be read.
        RolloutError: No token could be sampled.
    """

    pair: ModelPair
    """The two models."""
    task: Task
    """Problems with their right answers."""
    model: str
    """Which model, base or post."""
    selection: PrefixSelection
    """Which samples are kept."""
    generation: Generation
    """How whole texts are generated, and how many samples of each problem."""
    inference: Inference
    """Coverage and resamples of the intervals, and the seed."""
    execution: Execution
    """Tokens per forward pass, memory, checkpoint and progress."""

    def __post_init__(self) -> None:
        """Refuse what would show only after hours, or never."""
        if self.n < 2:
            raise RevisionError(
                f"n is {self.n}, so there would be nothing to choose among and no vote. Pass 2 or "
                "more samples a problem."
            )
        longest, prefix, keep = (
            self.generation.max_new_tokens,
            self.selection.prefix,
            self.selection.keep,
        )
        if not 1 <= prefix < longest:
            raise RevisionError(
                f"prefix is {prefix} and a text has at most {longest} tokens, so samples "
                "would be chosen by nothing or only once they are finished. Pass 1 to "
                f"{longest - 1}, or raise max_new_tokens."
            )
        if not 0 < keep < 1 or not 0 < self.n_kept < self.n:
            kept = f"{self.n_kept} of" if 0 < keep < 1 else "none or all of"
            raise RevisionError(
                f"keep is {keep}, which keeps {kept} {self.n} samples, so there would be no "
                "vote or nothing would be saved. Pass a share between 0 and 1 that keeps at least "
                "one sample and not all, for example 0.5."
            )
        self.selection.convention.deep_from(self.pair.n_layers)
        # Another model's lens is refused here, not once everything is sampled.
        _ = self.reader

    @property
    def n(self) -> int:
        """Samples of each problem."""
        return self.generation.n_samples

    @property
    def sampling(self) -> Sampling:
        """What the tokens of whole texts depend on."""
        return self.generation.sampling(self.reader.side, self.inference.seed)

    @property
    def n_kept(self) -> int:
        """Samples of a problem that are finished."""
        return int(self.selection.keep * self.n + 0.5)

    @cached_property
    def reader(self) -> Reader:
        """The model, with its unembedding and lens."""
        (reader,) = readers_of(self.pair, models=(self.model,), lens=self.selection.lens)
        return reader

    def begin(self) -> Rollouts:
        """All samples of all problems up to the end of their prefix."""
        return rollouts(
            self.reader.side,
            self.task,
            generation=replace(self.generation, max_new_tokens=self.selection.prefix),
            seed=self.inference.seed,
            execution=self.execution,
        )

    def finish(self, begun: Rollouts, rows: Sequence[int]) -> Rollouts:
        """Some samples resumed to their end, the same tokens as if sampled in one go."""
        return resume(
            self.reader.side,
            self.task,
            begun.select(rows),
            max_new_tokens=self.generation.max_new_tokens,
            batch_size=self.generation.batch_size,
            extractor=self.generation.extract,
            execution=self.execution,
        )

    def prefixes(self, begun: Rollouts) -> "Prefixes":
        """What is read: each distinct prefix once, so that equal ones tie exactly."""
        sampled = TokenRows.of_rollouts(begun, self.task, source=self.model)
        number: dict[tuple[int, ...], int] = {}
        once, of_row = [], []
        for index, row in enumerate(sampled.rows):
            if row not in number:
                number[row] = len(once)
                once.append(index)
            of_row.append(number[row])
        return Prefixes(rows=sampled.part(once), of_row=torch.tensor(of_row), n=self.n)

    def depths(self, prefixes: "Prefixes") -> DeepThinking:
        """Which tokens of the prefixes settle deep."""
        return deep_thinking(
            self.pair,
            prefixes.rows,
            model=self.model,
            convention=self.selection.convention,
            lens=self.selection.lens,
            execution=replace(self.execution, checkpoint=self._checkpoint(prefixes)),
        )

    def confidence(self, prefixes: "Prefixes") -> Confidence:
        """How confident the model is in the prefixes."""
        return confidence(
            self.reader,
            prefixes.rows,
            execution=replace(self.execution, checkpoint=self._checkpoint(prefixes)),
        )

    def _checkpoint(self, prefixes: "Prefixes") -> Checkpoint:
        """Checkpoint of readings, under a name that says all that they depend on."""
        if isinstance(self.execution.checkpoint, NoCheckpoint):
            return self.execution.checkpoint
        model, lens = self.reader.side.bridge, self.reader.lens
        tuned = isinstance(lens, TunedLens)
        edits = active(model)
        depends = {
            "weights": weights_digest(model),
            "edits": edits_digest([e for b in edits.stack for e in b.edits] if edits else []),
            "rows": prefixes.rows.digest,
            "convention": str(self.selection.convention),
            "lens": digest_tensors({"weight": lens.weight, "bias": lens.bias})
            if tuned
            else lens_name(lens),
            "max_tokens": self.execution.max_tokens,
        }
        return ScopedCheckpoint(self.execution.checkpoint, f"think-{digest_json(depends)}")

    def record(self, deep: DeepThinking) -> dict[str, Any]:
        """Fields of every result: what was sampled and read, and which samples are kept."""
        return {
            "convention": self.selection.convention,
            "model": self.model,
            "lens": lens_name(self.reader.lens),
            "sampling": self.sampling,
            "n": self.n,
            "prefix": self.selection.prefix,
            "n_kept": self.n_kept,
            "n_projected": deep.n_projected,
            "level": self.inference.level,
        }

    def arguments(self) -> Mapping[str, object]:
        """Arguments, as they are kept with the result."""
        return {
            "model": self.model,
            "n": self.n,
            "prefix": self.selection.prefix,
            "keep": self.selection.keep,
            "temperature": self.generation.temperature,
            "top_p": self.generation.top_p,
            "max_new_tokens": self.generation.max_new_tokens,
            "convention": str(self.selection.convention),
            "lens": lens_name(self.reader.lens),
            "level": self.inference.level,
            "n_resamples": self.inference.n_resamples,
        }


@dataclass(frozen=True, eq=False, kw_only=True)
class Prefixes:
    """The distinct prefixes of all samples."""

    rows: TokenRows
    """Each once."""
    of_row: Int[Tensor, " row"]
    """Which of them each sample begins with."""
    n: int
    """Samples of a problem."""

    def each(self, values: Float[Tensor, " prefix"]) -> Float[Tensor, "problem sample"]:
        """A number of every prefix, for the samples that begin with it."""
        return values[self.of_row].view(-1, self.n)
