"""Lenses of both models, fitted on one half of the problems, so that the other half is read."""

from collections.abc import Mapping, Sequence

import torch

from elicit.jobs._revise.spec import LENS_STEPS, ReviseSpec
from elicit.jobs._spec import SpecError
from elicit.pair import ModelPair
from elicit.revision import TokenRows, TunedLensFit, fit_tuned_lens
from elicit.runs import Execution, ScopedCheckpoint

MODELS = ("base", "post")


def halved(traces: Sequence[TokenRows], seed: int) -> tuple[list[TokenRows], list[TokenRows]]:
    """The traces of one half of the problems, and those of the other.

    Args:
        traces: Of every source.
        seed: Of drawing the half.

    Raises:
        SpecError: A source has fewer than two problems in the half that is read.
    """
    names = sorted({name for part in traces for name in part.problem})
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed)).tolist()
    learnt = {names[i] for i in order[: len(names) // 2]}
    fit, read = [], []
    for part in traces:
        own = [i for i, name in enumerate(part.problem) if name in learnt]
        others = [i for i, name in enumerate(part.problem) if name not in learnt]
        if len({part.problem[i] for i in others}) < 2:
            raise SpecError(
                f"of the {len(part)} texts of {part.source!r} fewer than two problems are left "
                "once half of all problems has gone into the lens, so no interval could be told. "
                "Add problems, or choose --lens logit."
            )
        fit += [part.part(own)] if own else []
        read.append(part.part(others))
    return fit, read


def fit_lenses(
    spec: ReviseSpec,
    pair: ModelPair,
    fit: Sequence[TokenRows],
    read: Sequence[TokenRows],
    *,
    execution: Execution = Execution(),
) -> dict[str, TunedLensFit]:
    """A lens for each model, fitted on its half of the text and held against the other.

    Args:
        spec: Kind of lens, steps and seed.
        pair: The two models.
        fit: Text to learn from.
        read: Text that is read later.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        RevisionError: There is too little text, or the fit leaves the finite numbers.
    """
    return {
        name: fit_tuned_lens(
            pair,
            _joined(fit),
            held_out=_joined(read),
            model=name,
            variant="bias" if spec.lens == "bias" else "affine",
            steps=spec.lens_steps or LENS_STEPS,
            inference=spec.inference,
            execution=Execution(
                max_tokens=spec.max_tokens,
                memory=spec.budget * 2**20,
                checkpoint=ScopedCheckpoint(execution.checkpoint, f"lens/{name}"),
                progress=execution.progress,
            ),
        )
        for name in MODELS
    }


def lens_summary(fits: Mapping[str, TunedLensFit]) -> dict[str, object] | None:
    """What each lens gains on text that it was not fitted on, for `summary.json`.

    Args:
        fits: The lens of each model; none where the logit lens reads.
    """
    return {
        name: {
            "held_out_problems": fit.n_problems,
            "layer": fit.layer.tolist(),
            **{
                kind: {
                    end: getattr(fit, f"kl{suffix}")[i].tolist()
                    for end, suffix in (("value", ""), ("low", "_low"), ("high", "_high"))
                }
                for i, kind in enumerate(fit.kind)
            },
        }
        for name, fit in fits.items()
    } or None


def _joined(traces: Sequence[TokenRows]) -> TokenRows:
    """Texts of several sources as one, each text once.

    Where decisions after the prompt are read beside whole texts, their tokens are in the texts.
    """
    parts = [part for part in traces if part.source != "prompt"] or list(traces)
    rows = {
        row: (positions, problem)
        for part in parts
        for row, positions, problem in zip(part.rows, part.positions, part.problem, strict=True)
    }
    return TokenRows(
        rows=tuple(rows),
        positions=tuple(positions for positions, _ in rows.values()),
        problem=tuple(problem for _, problem in rows.values()),
        source="+".join(part.source for part in parts),
    )
