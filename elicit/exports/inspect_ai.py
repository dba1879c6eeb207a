"""Texts as logs of inspect_ai."""

import datetime
import re
from collections.abc import Sequence
from pathlib import Path

from elicit.exports.errors import ExportError, needs
from elicit.exports.material import Material
from elicit.exports.registry import Exported, Options
from elicit.exports.written import KINDS, Written, texts_of
from elicit.results import disk_errors, installed_versions

SCORER = "elicit"
"""Name under which right and wrong stand in a log."""


def write(material: Material, target: Path, options: Options) -> Exported:
    """Write a folder with one `.eval` log for each writer of the texts.

    Raises:
        ElicitError: There are no texts, or the folder cannot be written.
    """
    by_writer = texts_of(material.texts(options.result, KINDS))
    paths = []
    with needs("inspect-ai", "inspect", "A log"):
        import inspect_ai.log  # noqa: F401  # pyright: ignore[reportMissingImports]
    with disk_errors(target, ExportError):
        target.mkdir()
    for writer, texts in by_writer.items():
        plain = re.sub(r"[^\w.-]+", "-", writer).strip("-.")
        path = target / f"{len(paths)}-{plain or 'writer'}.eval"
        write_log(texts, path, task=material.folder.name, model=writer)
        paths.append(path)
    return Exported(paths=tuple(paths), says=(f"inspect view --log-dir {target}",))


def write_log(texts: Sequence[Written], path: Path | str, *, task: str, model: str) -> Path:
    """Write texts as a log of inspect_ai: a sample each, right (`C`) or wrong (`I`).

    Args:
        texts: Of one model; see `texts_of` and `texts_of_rollouts`.
        path: File to write, ending in `.eval`.
        task: Name of the task.
        model: Name of the model.

    Returns:
        The file.

    Raises:
        ExportError: There are no texts, the ending is another, inspect_ai is not installed, or the
            file cannot be written.
    """
    path = Path(path)
    if path.suffix != ".eval" or not texts:
        what = f"{path.name!r} does not end in .eval" if texts else "there are no texts"
        raise ExportError(
            f"{what}, so no log can be written. Give texts, and a name such as a.eval."
        )
    with needs("inspect-ai", "inspect", "A log"):
        from inspect_ai import (  # pyright: ignore[reportMissingImports]
            log as logs,  # pyright: ignore[reportAttributeAccessIssue]
        )
        from inspect_ai.model import (  # pyright: ignore[reportMissingImports]
            ChatMessageAssistant,
            ChatMessageUser,
            ModelOutput,
        )
        from inspect_ai.scorer import Score  # pyright: ignore[reportMissingImports]
    samples = [
        logs.EvalSample(
            id=each.id,
            epoch=each.sample + 1,
            input=each.prompt,
            target=each.answer,
            messages=[
                ChatMessageUser(content=each.prompt),
                ChatMessageAssistant(content=each.text, source="generate", model=model),
            ],
            output=ModelOutput.from_content(model, each.text),
            scores={SCORER: Score(value="C" if each.correct else "I", answer=each.extracted)},
        )
        for each in texts
    ]
    right = sum(each.correct for each in texts) / len(texts)
    accuracy = logs.EvalMetric(name="accuracy", value=right)
    made = logs.EvalLog(
        status="success",
        eval=logs.EvalSpec(
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            task=task,
            dataset=logs.EvalDataset(
                name=task, samples=len(samples), sample_ids=list(dict.fromkeys(t.id for t in texts))
            ),
            model=model,
            config=logs.EvalConfig(epochs=1 + max(each.sample for each in texts)),
            packages={"elicit-interp": installed_versions()["elicit"]},
        ),
        results=logs.EvalResults(
            total_samples=len(samples),
            completed_samples=len(samples),
            scores=[logs.EvalScore(name=SCORER, scorer=SCORER, metrics={"accuracy": accuracy})],
        ),
        samples=samples,
    )
    with disk_errors(path, ExportError):
        logs.write_eval_log(made, str(path.absolute()))
    return path
