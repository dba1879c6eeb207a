"""The texts of a run: what the models write and what was given, halved by problem."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from elicit.jobs._features.inputs import Asked, Ready
from elicit.jobs._features.spec import FeaturesSpec
from elicit.jobs._spec import SpecError
from elicit.pair import ModelPair
from elicit.rollouts import Generation, rollouts
from elicit.runs import Execution, Progress, RunDirectory, ScopedCheckpoint
from elicit.tasks import LEAST, Task

_BATCH = 64


@dataclass(frozen=True, kw_only=True)
class Text:
    """One text as the models read it."""

    ids: tuple[int, ...]
    problem: str
    begin: int
    """Tokens that were given before it."""
    source: str
    """`base`, `post`, `task`, or the name of a file."""
    reasons: bool
    """Whether it reasons; else it answers at once."""
    test: bool
    """Whether it is of a problem on which nothing is chosen."""


@dataclass(frozen=True, kw_only=True)
class Texts:
    """All texts of a run."""

    every: tuple[Text, ...]
    left_out: dict[str, int]
    """Texts that did not do what their prompt calls for, by writer and prompt."""

    def part(
        self, *, test: bool, reasons: bool | None = None, source: str | None = None
    ) -> tuple[Text, ...]:
        """Some of them.

        Args:
            test: Whether those of the problems to test on, or to choose on.
            reasons: Only those that reason, or only those that answer at once; None is both.
            source: Only those of that source; None is all.
        """
        return tuple(
            text
            for text in self.every
            if text.test == test
            and reasons in (None, text.reasons)
            and source in (None, text.source)
        )


def rows(texts: Sequence[Text]) -> list[list[int]]:
    """Token ids of texts.

    Args:
        texts: Which.
    """
    return [list(text.ids) for text in texts]


def write_texts(
    spec: FeaturesSpec,
    pair: ModelPair,
    asked: Asked,
    ready: Ready,
    *,
    run: RunDirectory,
    progress: Progress,
) -> Texts:
    """Let both models write, and put what is given beside it.

    Args:
        spec: What to do.
        pair: The two models.
        asked: What is asked.
        ready: Prompts.
        run: Keeps finished batches.
        progress: Told how far it is.

    Raises:
        SpecError: Too few texts reason, or too few do not.
    """
    tested = {problem.id for problem in asked.test}
    found: list[Text] = []
    left_out: dict[str, int] = {}
    behaviour = asked.behaviour
    for which, reasons in (("positive", True), ("negative", False)):
        if reasons and "own" not in asked.kinds:
            continue
        task = behaviour.prompts(
            asked.task, behaviour.positive if reasons else behaviour.negative, which
        )
        for name in ("base", "post"):
            written = rollouts(
                pair.side(name),
                task,
                generation=Generation(
                    stop_ids=ready.stops,
                    temperature=spec.temperature,
                    max_new_tokens=spec.max_new_tokens,
                    batch_size=_BATCH,
                    templated=spec.templated,
                ),
                seed=spec.seed,
                execution=Execution(
                    checkpoint=ScopedCheckpoint(run, f"texts/{name}/{which}"), progress=progress
                ),
            )
            for row, text in enumerate(written.text):
                if bool(behaviour.shown(text)) is not reasons:
                    key = f"{name}, prompt for {'reasoning' if reasons else 'an answer'}"
                    left_out[key] = left_out.get(key, 0) + 1
                    continue
                problem = written.problem[int(written.place[row])]
                prompt = written.prompt_ids(row)
                found.append(
                    Text(
                        ids=(*prompt, *written.ids(row)),
                        problem=problem,
                        begin=len(prompt),
                        source=name,
                        reasons=reasons,
                        test=problem in tested,
                    )
                )
    if "task" in asked.kinds:
        found += _traces(pair, asked, tested)
    found += _given(spec, pair, asked, tested)
    texts = Texts(every=tuple(found), left_out=left_out)
    for test in (False, True):
        for reasons in (False, True):
            _refuse_few(texts, test=test, reasons=reasons)
    return texts


def _traces(pair: ModelPair, asked: Asked, tested: set[str]) -> list[Text]:
    """The problems' own traces after the prompts that call for them."""
    found: list[Text] = []
    task: Task = asked.behaviour.prompts(asked.task, asked.behaviour.positive, "positive")
    for problem in task:
        prompt = pair.alignment.plain(problem.prompt)
        whole = pair.alignment.plain(f"{problem.prompt} {problem.trace}")
        if whole[: len(prompt)] != prompt:
            raise SpecError(
                f"problem {problem.id!r}: the tokens of its prompt change when the trace follows, "
                "so where the trace begins is not sure. End the prompt where a word ends, or "
                "choose traces='own'."
            )
        found.append(
            Text(
                ids=tuple(whole),
                problem=problem.id,
                begin=len(prompt),
                source="task",
                reasons=True,
                test=problem.id in tested,
            )
        )
    return found


def _given(spec: FeaturesSpec, pair: ModelPair, asked: Asked, tested: set[str]) -> list[Text]:
    """Texts of files; those of other problems are halved by a draw of their own."""
    known = {problem.id for problem in asked.task}
    others = sorted({text.problem for text in asked.texts} - known)
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
            test=text.problem in tested | strangers,
        )
        for text in asked.texts
        if len(ids := pair.alignment.plain(text.text)) > 1
    ]


def _refuse_few(texts: Texts, *, test: bool, reasons: bool) -> None:
    """Refuse a half in which too few texts do one of the two things."""
    here = texts.part(test=test, reasons=reasons)
    if len({text.problem for text in here}) >= LEAST:
        return
    missed = ", ".join(f"{n} of {who}" for who, n in texts.left_out.items())
    what = "reason" if reasons else "answer at once"
    raise SpecError(
        f"texts of {len({text.problem for text in here})} problems to "
        f"{'test' if test else 'choose'} on {what}, and {LEAST} are needed (texts that did not do "
        f"what their prompt calls for: {missed or 'none'}). Change the cues or what counts as "
        "shown, give texts as traces, or add problems."
    )
