"""What training left: parameters, how training went, what it was told and what it cost."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from elicit.edits import Steer, edited
from elicit.elicitation.bench import Sees
from elicit.elicitation.training._parametrised import merged
from elicit.elicitation.training.errors import TrainingError
from elicit.elicitation.training.plans import Backend, Trainable
from elicit.pair import Side, device_of, weights_digest
from elicit.results import Result
from elicit.sites import parse_site
from elicit.weights import replaced


@dataclass(frozen=True, eq=False, kw_only=True)
class TrainingCourse(Result):
    """How a training went: what was measured at every update, and which one was chosen."""

    method: str
    """How it was trained, with the reward or the documents."""
    trainable: Trainable
    """What was trained."""
    measure: tuple[str, ...]
    """What was measured at every step."""
    curve: Float[Tensor, "measure step"]
    """Its values, each before the step's update."""
    choice: Int[Tensor, " choice"]
    """Updates after which the problems to choose on were answered."""
    chosen: Bool[Tensor, "choice problem"]
    """Whether each of them was right, greedily."""
    n_updates: int
    """Updates behind the parameters that were chosen."""
    stopped: str
    """Why training ended."""
    bits: float
    """Upper bound on what was told up to there, bits."""

    def of(self, measure: str) -> Float[Tensor, " step"]:
        """One measurement of every step.

        Args:
            measure: One of `measure`.

        Raises:
            TrainingError: It was not measured.
        """
        if measure not in self.measure:
            raise TrainingError(
                f"{measure!r} was not measured in training; there are {', '.join(self.measure)}. "
                "Pass one of these."
            )
        return self.curve[self.measure.index(measure)]


@dataclass(frozen=True, eq=False, kw_only=True)
class Trained(Result):
    """Parameters after training, chosen on problems of their own, with the way there."""

    method: str
    """How it was trained, with the reward or the documents."""
    trainable: Trainable
    """What was trained."""
    backend: Backend
    """Whose loop."""
    model: str
    """Name of the model that was trained."""
    model_digest: str
    """Digest of its weights before."""
    trained_digest: str
    """Digest of its weights under `applied`; vectors leave them as they are."""
    parameters: dict[str, Tensor]
    """What the model reads after training: whole weights by their checkpoint names, factors of a
    change of low rank (`NAME.up`, `NAME.down`), or vectors by their sites."""
    measure: tuple[str, ...]
    """What was measured at every step."""
    curve: Float[Tensor, "measure step"]
    """Its values, each before the step's update."""
    choice: Int[Tensor, " choice"]
    """Updates after which the problems to choose on were answered; empty where there are none."""
    chosen: Bool[Tensor, "choice problem"]
    """Whether each of them was right, greedily."""
    n_updates: int
    """Updates behind `parameters`: those after which most of these problems were right, and of
    several such counts the last; without such problems, all."""
    stopped: str
    """Why training ended: `steps`, the `budget`, a `reward` or a share of `right` answers that was
    high enough, or a reward that was `constant`."""
    sees: Sees
    """What training was told."""
    bits: float
    """Upper bound on what it was told about the task up to there, bits: the entropy of the rewards
    of each update's texts, or the code length of the documents before each update. The choice of an
    update tells the logarithm of their number in addition."""
    n_trained: int
    """Numbers that were trained."""
    n_tokens: int
    """Tokens read and written by all of training, answers to choose on included."""
    flops: float
    """Operations: two a parameter of the model and token, and six where gradients were taken."""
    setting: str
    """Sizes and rates in a line."""

    def of(self, measure: str) -> Float[Tensor, " step"]:
        """One measurement of every step.

        Args:
            measure: One of `measure`.

        Raises:
            TrainingError: It was not measured.
        """
        return self.course.of(measure)

    @property
    def course(self) -> TrainingCourse:
        """How training went, without the parameters."""
        return TrainingCourse(
            provenance=self.provenance,
            method=self.method,
            trainable=self.trainable,
            measure=self.measure,
            curve=self.curve,
            choice=self.choice,
            chosen=self.chosen,
            n_updates=self.n_updates,
            stopped=self.stopped,
            bits=self.bits,
        )

    @property
    def chosen_right(self) -> Bool[Tensor, " problem"]:
        """Whether each problem to choose on is right after the updates that were chosen.

        Raises:
            TrainingError: There were no such problems.
        """
        if not len(self.choice):
            raise TrainingError(
                "no problems to choose on were given to training, so none was answered. Pass "
                "choose=."
            )
        return self.chosen[self.choice.tolist().index(self.n_updates)]

    @property
    def moved(self) -> bool:
        """Whether the model under `applied` differs from what it was."""
        if self.trainable == "bias":
            return any(bool(vector.any()) for vector in self.parameters.values())
        return self.trained_digest != self.model_digest

    @contextmanager
    def applied(self, side: Side) -> Iterator[Side]:
        """The model with what was trained, for one block; after it, as it was, bit for bit.

        Args:
            side: The model that was trained.

        Yields:
            The same model.

        Raises:
            TrainingError: It is another model, or not as it was before training.
            EditError: Vectors are applied, and the model did not run in the block.
        """
        digest = weights_digest(side.bridge)
        if digest != self.model_digest:
            raise TrainingError(
                f"the model has weights of digest {digest[:12]} and {self.model_digest[:12]} were "
                "trained, so it would become neither. Apply it to the model that was trained, "
                "outside of blocks that change its weights."
            )
        with self._changed(side):
            yield side

    @contextmanager
    def _changed(self, side: Side) -> Iterator[None]:
        """The block, without the check."""
        if self.trainable != "bias":
            with replaced(merged(side.bridge, self.parameters)):
                yield
            return
        vectors = {name: v for name, v in self.parameters.items() if bool(v.any())}
        device = device_of(side.bridge)
        edits = [Steer(parse_site(name), v.to(device)) for name, v in vectors.items()]
        if not edits:  # A vector of 0 is no edit.
            yield
            return
        with edited(side.bridge, edits):
            yield


def digest_under(side: Side, parameters: dict[str, Tensor], trainable: Trainable) -> str:
    """Digest of a model's weights with what was trained.

    Args:
        side: The model.
        parameters: See `Trained.parameters`.
        trainable: What was trained.
    """
    if trainable == "bias":
        return weights_digest(side.bridge)
    with torch.no_grad(), replaced(merged(side.bridge, parameters)):
        return weights_digest(side.bridge)
