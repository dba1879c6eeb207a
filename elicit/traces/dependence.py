"""Does the answer depend on the written thought?

One measure answers it: alter the thought where it concludes, and see whether the answer becomes
what the altered thought says (`follows`). Truncation (early answering, CIR) and flips stand beside
it: they also move when the answer wanders for other reasons.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from elicit.pair import ModelPair
from elicit.runs import Execution
from elicit.stats import Inference
from elicit.surroundings import guarded
from elicit.texts import AnswerForm
from elicit.traces._dependence_metrics import CURVES, PROBES, metric_of, of_curve
from elicit.traces._probes import Probes, own_ways
from elicit.traces.alterations import (
    Alteration,
    Filler,
    OperandsSwapped,
    OtherThought,
    ResultChanged,
)
from elicit.traces.errors import TraceError
from elicit.traces.forced import forced_answers
from elicit.traces.measures import Measures, measured, narrowed
from elicit.traces.reading import Readings

CutAt = Literal["conclusion", "end"]
ALTERATIONS: tuple[Alteration, ...] = (ResultChanged(), OtherThought(), OperandsSwapped(), Filler())
"""What thoughts are altered by, unless the caller says otherwise."""


@dataclass(frozen=True, kw_only=True)
class AlteredThought:
    """A thought whose conclusion was changed, and what one model then answered."""

    reading: str
    """`base` or `post`."""
    problem: str
    """Id of the problem."""
    text: str
    """The thought after the change. Text of a model or of a file: never trusted."""
    implied: str
    """The answer that it implies."""
    answered: str
    """The answer that the model gave."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Dependence(Measures):
    """Whether answers depend on written thoughts, by model.

    `follows` is the finding; the other metrics stand beside it because each is used for the same
    claim and can be wrong where `follows` is not.
    """

    altered: tuple[AlteredThought, ...]
    """Thoughts after the change of their conclusion, base's reading first."""
    n_unaltered: int
    """Thoughts of base's reading that do not state their answer, and are left out of `follows`."""

    def only(
        self, problems: Collection[str], *, inference: Inference = Inference()
    ) -> "Dependence":
        """The same over some of the problems; no answer is asked for again.

        Args:
            problems: Ids of the problems.
            inference: Coverage, resamples and seed.

        Raises:
            TraceError: None of them is there.
        """
        altered = tuple(each for each in self.altered if each.problem in set(problems))
        read = self.of("accuracy")[0].isnan().logical_not().tolist()
        named = zip(self.problem, read, strict=True)
        n_base = sum(ok for name, ok in named if name in set(problems))
        return Dependence(
            **narrowed(self, problems, inference=inference),  # pyright: ignore[reportArgumentType]
            altered=altered,
            n_unaltered=n_base - sum(each.reading == "base" for each in altered),
        )


@guarded
def dependence(
    pair: ModelPair,
    readings: Readings,
    *,
    form: AnswerForm,
    cut_at: CutAt = "conclusion",
    alterations: Sequence[Alteration] = ALTERATIONS,
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> Dependence:
    """Alter thoughts and questions, and read both models' answers.

    A thought is changed in the step that concludes with its answer, and cut there: with checks
    after the conclusion, a change of the text's last number alone is outvoted by what was left.

    Args:
        pair: The two models.
        readings: Base's reading and post's.
        form: How the answer is asked for.
        cut_at: `conclusion` drops what follows it; `end` changes the value there as well.
        alterations: Further ways to alter; `ResultChanged` is always among them, as `cut_at` says.
            One of your own is measured as `after NAME`.
        inference: Coverage and resamples; its seed draws the changed values.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        TraceError: Two alterations have one name, or no given thought states its answer, so that
            none can be changed. Where models read their own, `follows` is NaN then.

    Source: Lanham et al. 2023 (arXiv:2307.13702) for early answering, mistakes, paraphrase and
        filler; edits that imply an answer of their own as in Turpin et al. 2023 (arXiv:2305.04388)
        for biased prompts. That one of them alone decides is measured on planted pairs.
    """
    chosen = [a for a in alterations if not isinstance(a, ResultChanged)]
    ways: list[Alteration] = [ResultChanged(cut_at_conclusion=cut_at == "conclusion"), *chosen]
    names = [*(way.name for way in ways), "other question", "edited alone", "edited with thought"]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise TraceError(
            f"two alterations are called {twice[0]!r}, so their numbers could not be told apart. "
            "Give each its own name."
        )
    metrics = (*PROBES[:1], *CURVES, *PROBES[1:], *map(metric_of, own_ways(ways)))
    values: dict[str, dict[str, list[float]]] = {m.name: defaultdict(list) for m in metrics}
    altered: list[AlteredThought] = []
    for reading in readings.both:
        probes = Probes(reading, ways, inference.seed)
        if readings.same_text and not probes.changed:
            raise TraceError(
                f"none of the {len(reading.thoughts)} thoughts that {reading.model} reads states "
                "its answer, so no conclusion can be changed and 'follows' cannot be measured. "
                "Give thoughts that end in their answer, or steps that end where it is stated."
            )
        answers = forced_answers(
            pair.side(reading.model),
            probes.all,
            form=form,
            key=f"dependence/{reading.model}",
            execution=execution,
        )
        for name, of_thoughts in probes.values(answers).items():
            values[name][reading.model] = of_thoughts
        for curve in reading.curves():
            for name, value in of_curve(curve).items():
                values[name][reading.model].append(value)
        altered += [
            AlteredThought(
                reading=reading.model,
                problem=probes.all[i].problem,
                text=probes.all[i].text,
                implied=str(probes.all[i].expected),
                answered=answers[i].answer,
            )
            for i in probes.changed
        ]
    fields = measured(
        metrics,
        readings.tabled(values),
        problem=readings.problem,
        inference=inference,
        provenance=pair.provenance(
            inference.seed,
            {
                "question": "dependence",
                "cut_at": cut_at,
                "alterations": [way.name for way in ways],
                "lead_in": form.lead_in,
                "level": inference.level,
            },
            task_digests=readings.digests,
        ),
    )
    return Dependence(
        **fields,  # pyright: ignore[reportArgumentType]
        altered=tuple(altered),
        n_unaltered=len(readings.base.thoughts) - sum(each.reading == "base" for each in altered),
    )
