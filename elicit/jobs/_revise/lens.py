"""Lenses of both models, fitted on one half of the problems and applied to the other."""

from collections.abc import Mapping, Sequence

import torch

from elicit.jobs._revise.spec import LENS_STEPS, ReviseSpec
from elicit.jobs._spec import SpecError
from elicit.pair import ModelPair
from elicit.revision import LensTraining, TokenRows, TunedLensFit, fit_tuned_lens
from elicit.runs import Execution

MODELS = ("base", "post")


def halved(texts: Sequence[TokenRows], seed: int) -> tuple[list[TokenRows], list[TokenRows]]:
    """Split the texts by problem into two random halves.

    Raises:
        SpecError: A source has fewer than two problems in the evaluation half.
    """
    names = sorted({name for part in texts for name in part.problem})
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed)).tolist()
    learnt = {names[i] for i in order[: len(names) // 2]}
    fit, read = [], []
    for part in texts:
        fitted = [i for i, name in enumerate(part.problem) if name in learnt]
        others = [i for i, name in enumerate(part.problem) if name not in learnt]
        if len({part.problem[i] for i in others}) < 2:
            raise SpecError(
                f"of the {len(part)} texts of {part.source!r}, fewer than two problems are held "
                "out from fitting the lens, so there would be no interval. Add problems, or choose "
                "lens='logit'."
            )
        fit += [part.part(fitted)] if fitted else []
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
    """A lens for each model, fitted on one half of the text and evaluated on the other.

    Raises:
        RevisionError: There is too little text, or the fit diverges.
    """
    training = LensTraining(
        variant="bias" if spec.lens == "bias" else "affine", steps=spec.lens_steps or LENS_STEPS
    )
    return {
        name: fit_tuned_lens(
            pair,
            _joined(fit),
            held_out=_joined(read),
            model=name,
            training=training,
            inference=spec.inference,
            execution=execution.scoped(f"lens/{name}"),
        )
        for name in MODELS
    }


def lens_summary(fits: Mapping[str, TunedLensFit]) -> dict[str, object] | None:
    """Gain of each lens on held-out text, for `summary.json`."""
    return {
        name: {
            "held_out_problems": fit.n_problems,
            "layers_run": fit.layer.tolist(),
            **{kind: fit.kl[i].to_json() for i, kind in enumerate(fit.kind)},
        }
        for name, fit in fits.items()
    } or None


def _joined(texts: Sequence[TokenRows]) -> TokenRows:
    """Texts of several sources joined, each text once.

    Decisions after the prompt are dropped where whole texts contain their tokens.
    """
    parts = [part for part in texts if part.source != "prompt"] or list(texts)
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
