"""Texts of a run: sampled, from the task and from files, split by problem."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from elicit.jobs._features.inputs import FeatureTask, FeatureWork
from elicit.jobs._features.spec import FeaturesSpec
from elicit.jobs._spec import SpecError
from elicit.pair import ModelPair
from elicit.rollouts import Generation, rollouts
from elicit.tasks import LEAST, Task

_BATCH = 64


@dataclass(frozen=True, kw_only=True)
class Text:
    """One tokenised text."""

    ids: tuple[int, ...]
    problem: str
    begin: int
    """Number of prompt tokens."""
    source: str
    """`base`, `post`, `task`, or the name of a file."""
    reasons: bool
    """Whether it reasons; otherwise a direct answer."""
    test: bool
    """Whether its problem is held out."""


@dataclass(frozen=True, kw_only=True)
class Texts:
    """All texts of a run."""

    every: tuple[Text, ...]
    left_out: dict[str, int]
    """Number of texts that did not follow their prompt, by model and prompt."""

    def part(
        self, *, test: bool, reasons: bool | None = None, source: str | None = None
    ) -> tuple[Text, ...]:
        """Subset of the texts.

        Args:
            test: Texts of held-out problems, or of selection problems.
            reasons: Reasoning texts, or direct answers; None: both.
            source: Source of the texts; None: all.
        """
        return tuple(
            text
            for text in self.every
            if text.test == test
            and reasons in (None, text.reasons)
            and source in (None, text.source)
        )


def rows(texts: Sequence[Text]) -> list[list[int]]:
    """Token ids of texts."""
    return [list(text.ids) for text in texts]


def write_texts(work: FeatureWork) -> Texts:
    """Sample texts from both models, and add those of the task and files.

    Raises:
        SpecError: Too few reasoning texts or direct answers.
    """
    spec, pair, source = work.spec, work.pair, work.inputs.source
    behaviour, held_out = source.behaviour, {problem.id for problem in source.split.test}
    generation = Generation(
        temperature=spec.temperature,
        max_new_tokens=spec.max_new_tokens,
        batch_size=_BATCH,
        templated=spec.templated,
    )
    texts: list[Text] = []
    left_out: dict[str, int] = {}
    for which, reasons in (("positive", True), ("negative", False)):
        if reasons and "own" not in source.kinds:
            continue
        cues = behaviour.positive if reasons else behaviour.negative
        task = behaviour.prompts(source.task, cues, which)
        for name in ("base", "post"):
            written = rollouts(
                pair.side(name),
                task,
                generation=generation,
                seed=spec.seed,
                execution=work.execution.scoped(f"texts/{name}/{which}"),
            )
            for row, text in enumerate(written.text):
                if bool(behaviour.shown(text)) is not reasons:
                    key = f"{name}, {'reasoning' if reasons else 'direct-answer'} prompt"
                    left_out[key] = left_out.get(key, 0) + 1
                    continue
                problem = written.problem[int(written.place[row])]
                prompt = written.prompt_ids(row)
                texts.append(
                    Text(
                        ids=(*prompt, *written.ids(row)),
                        problem=problem,
                        begin=len(prompt),
                        source=name,
                        reasons=reasons,
                        test=problem in held_out,
                    )
                )
    if "task" in source.kinds:
        texts += _traces(spec, pair, source, held_out)
    texts += _of_files(spec, pair, source, held_out)
    result = Texts(every=tuple(texts), left_out=left_out)
    for test in (False, True):
        for reasons in (False, True):
            _refuse_few(result, test=test, reasons=reasons)
    return result


def _traces(
    spec: FeaturesSpec, pair: ModelPair, source: FeatureTask, held_out: set[str]
) -> list[Text]:
    """Traces of the problems after their prompts."""
    result: list[Text] = []
    task: Task = source.behaviour.prompts(source.task, source.behaviour.positive, "positive")
    for problem in task:
        text = pair.alignment.continued(problem.turns, str(problem.trace), templated=spec.templated)
        result.append(
            Text(
                ids=text.ids,
                problem=problem.id,
                begin=text.start,
                source="task",
                reasons=True,
                test=problem.id in held_out,
            )
        )
    return result


def _of_files(
    spec: FeaturesSpec, pair: ModelPair, source: FeatureTask, held_out: set[str]
) -> list[Text]:
    """Texts of files; other problems are split at random too."""
    known = {problem.id for problem in source.task}
    others = sorted({text.problem for text in source.texts} - known)
    rng = np.random.default_rng([spec.seed, 5])
    n_choose = round(spec.choose_share * len(others))
    strangers = {others[int(i)] for i in rng.permutation(len(others))[n_choose:]}
    return [
        Text(
            ids=tuple(ids),
            problem=text.problem,
            begin=1,
            source=text.source,
            reasons=True,
            test=text.problem in held_out | strangers,
        )
        for text in source.texts
        if len(ids := pair.alignment.plain(text.text)) > 1
    ]


def _refuse_few(texts: Texts, *, test: bool, reasons: bool) -> None:
    """Refuse a half with too few reasoning texts or direct answers."""
    here = texts.part(test=test, reasons=reasons)
    if len({text.problem for text in here}) >= LEAST:
        return
    missed = ", ".join(f"{n} of {who}" for who, n in texts.left_out.items())
    what = "reason" if reasons else "answer at once"
    raise SpecError(
        f"texts of {len({text.problem for text in here})} "
        f"{'held-out' if test else 'selection'} problems {what}, but {LEAST} are needed (texts "
        f"that did not follow their prompt: {missed or 'none'}). Change the cues or the marker of "
        "the behaviour, pass texts as traces, or add problems."
    )
