"""What stands beside mechanisms: post's texts, form and difference; the cost of learning."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from elicit import organisms
from elicit.elicitation import (
    Bench,
    Document,
    Documents,
    FineTunePlan,
    ForcedForm,
    Transplant,
    fine_tune,
    forced_form,
    transplant,
)
from elicit.jobs._mechanisms.spec import MechanismsSpec
from elicit.pair import ModelPair, Side, load_pair
from elicit.results import ElicitError, Result
from elicit.rollouts import rollouts
from elicit.texts import TextBits, text_bits

T = TypeVar("T")
_TEXTS = 4
"""Texts of post on each problem that are read for their bits."""
_LEARNED = 20
"""Updates over which the code length of correct texts is summed."""
HOST = "organism:decoupled"
"""A model of the same language as most embedded pairs that writes traces and lacks the skill."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Beside:
    """What was measured beside the mechanisms, and why something was not."""

    text_bits: TextBits | None = None
    """Bits of post's texts that base lacks."""
    forced: ForcedForm | None = None
    """Base made to begin as post does."""
    moved: Transplant | None = None
    """Post's difference on a host without the skill."""
    learning_bits: float = float("nan")
    """Code length of correct texts while base learns them, bits."""
    notes: tuple[str, ...] = ()
    """What could not be measured, with the reason."""

    @property
    def results(self) -> dict[str, Result]:
        """Results by folder name."""
        named = {"text_bits": self.text_bits, "forced_form": self.forced, "transplant": self.moved}
        return {name: one for name, one in named.items() if one is not None}


@dataclass(eq=False)
class _Measured:
    """Gathers what can be measured; what cannot is told and does not end the run."""

    notes: list[str] = field(default_factory=list)

    def one(self, what: str, measure: Callable[[], T]) -> T | None:
        """What is measured; None where it cannot be, with the reason among the notes."""
        try:
            return measure()
        except ElicitError as error:
            self.notes.append(f"{what} was not measured: {error}")
            return None


def measure_beside(spec: MechanismsSpec, bench: Bench, host: Side | None) -> Beside:
    """Measure what the verdict reads beside the mechanisms.

    Args:
        spec: Options of the run.
        bench: Problems and models.
        host: A model without the skill, for the transplant; None leaves it out.
    """
    found = _Measured()
    how = {"generation": bench.generation, "inference": bench.inference}
    execution = bench.execution.scoped("beside")
    bits = found.one("the bits of post’s texts", lambda: _bits(bench))
    forced = found.one(
        "the forced form",
        lambda: forced_form(bench.pair, bench.test, **how, execution=execution),
    )
    moved = None
    if host is not None:
        moved = found.one(
            "the transplant",
            lambda: transplant(
                bench.pair,
                host,
                bench.test,
                name=str(host_name(spec)),
                **how,
                execution=execution,
            ),
        )
    learned = None
    if spec.learns:
        learned = found.one("the cost of learning", lambda: learning_bits(bench))
    else:
        found.notes.append(
            "What it takes to learn post’s right texts was not measured, because that trains all "
            "weights. Name an arm that trains, such as sft-answers."
        )
    return Beside(
        text_bits=bits,
        forced=forced,
        moved=moved,
        learning_bits=float("nan") if learned is None else learned,
        notes=tuple(found.notes),
    )


def host_name(spec: MechanismsSpec) -> str | None:
    """Name of the model that post's difference is added to; None where there is none."""
    if spec.host is not None:
        return spec.host
    if spec.pair is None:
        return None
    same = organisms.resolve(spec.pair).base.world == organisms.resolve(HOST).base.world
    own = {organisms.resolve(spec.pair).post.name, organisms.resolve(spec.pair).base.name}
    return HOST if same and HOST not in own else None


def open_host(spec: MechanismsSpec, pair: ModelPair) -> Side | None:
    """The model that post's difference is added to, on the pair's device and in its precision.

    Args:
        spec: Options of the run.
        pair: The two models.

    Raises:
        PairError: It cannot be loaded.
    """
    name = host_name(spec)
    if name is None:
        return None
    base = spec.base or organisms.resolve(str(spec.pair)).base.name
    return load_pair(base, name, device=pair.device, dtype=pair.dtype).side("post")


def _bits(bench: Bench) -> TextBits:
    how = replace(bench.generation, temperature=1.0, n_samples=_TEXTS)
    execution = bench.execution.scoped("beside/post")
    texts = rollouts(
        bench.post, bench.test, generation=how, seed=bench.inference.seed, execution=execution
    )
    return text_bits(
        bench.pair, texts, inference=bench.inference, execution=bench.execution.scoped("beside")
    )


def learning_bits(bench: Bench) -> float:
    """Code length of post's right texts to the problems to train on, while base learns them, bits.

    Args:
        bench: Problems and models.

    Raises:
        TrainingError: Post is right on none of them.
    """
    execution = bench.execution.scoped("beside/learning")
    texts = rollouts(
        bench.post,
        bench.fit,
        generation=bench.generation,
        seed=bench.inference.seed,
        execution=execution,
    )
    documents = Documents(
        name="post’s right texts",
        sees="post texts",
        documents=tuple(
            Document(id=problem.id, prompt=problem.prompt, target=text)
            for problem, text, right in zip(bench.fit, texts.text, texts.correct, strict=True)
            if bool(right)
        ),
    )
    plan = FineTunePlan(generation=bench.generation, budget=bench.budget)
    # Only the first reading of a document is code: one pass through all of them.
    plan = replace(plan, steps=min(_LEARNED, math.ceil(len(documents) / plan.batch)))
    learned = fine_tune(bench.base, documents, plan=plan, seed=bench.seeds[0], execution=execution)
    return float(learned.of("bits").sum()) / len(documents)
