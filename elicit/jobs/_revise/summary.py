"""Content of `summary.json` of a reading of depths: the finding first, then every number."""

import dataclasses
from collections.abc import Mapping, Sequence

from torch import Tensor

from elicit.jobs._frame import origin
from elicit.jobs._revise.lens import lens_summary
from elicit.page.revision import revise_sentences
from elicit.pair import ModelPair
from elicit.results import Result
from elicit.revision import DepthByGroup, Sensitivity, Settling, TunedLensFit

_ENDS = {"value": "", "low": "_low", "high": "_high"}


def revise_summary(
    pair: ModelPair,
    results: Mapping[str, Result],
    *,
    fits: Mapping[str, TunedLensFit],
    texts: Mapping[str, Mapping[str, object]],
    notes: Sequence[str],
) -> dict[str, object]:
    """Content of `summary.json`.

    Args:
        pair: The two models.
        results: By name; one of them is the settling.
        fits: The lens of each model; none where the logit lens reads.
        texts: Share that was cut, and numbers of empty texts, of every source.
        notes: Remarks.
    """
    found = results["settling"]
    assert isinstance(found, Settling)
    band, groups = results.get("sensitivity"), results.get("by_difficulty")
    return {
        **origin(pair),
        "sentence": " ".join(revise_sentences(list(results.values()))),
        "n_layers": found.n_layers,
        "deep_from": found.deep_from,
        "convention": {
            **dataclasses.asdict(found.convention),
            "nats": found.convention.nats,
            "text": str(found.convention),
        },
        "lens": dict(zip(found.model, found.lens, strict=True)),
        "lens_fit": lens_summary(fits),
        "level": found.level,
        "sources": {
            source: {**_source(found, i), **texts.get(source, {})}
            for i, source in enumerate(found.source)
        },
        "sensitivity": _band(band) if isinstance(band, Sensitivity) else None,
        "by_difficulty": _groups(groups) if isinstance(groups, DepthByGroup) else None,
        "notes": list(notes),
    }


def _source(found: Settling, i: int) -> dict[str, object]:
    """Everything that was found on the texts of one source."""

    def models(name: str) -> dict[str, object]:
        return {model: _ends(found, name, i, m) for m, model in enumerate(found.model)}

    return {
        "n_problems": int(found.n_problems[i]),
        "n_tokens": int((found.source_of == i).sum()),
        "mean_depth": models("mean_depth"),
        "depth_diff": _ends(found, "depth_diff", i),
        "dtr": models("dtr"),
        "dtr_diff": _ends(found, "dtr_diff", i),
        "profile": {
            "layer": found.layer.tolist(),
            **models("profile"),
            "diff": _ends(found, "profile_diff", i),
        },
    }


def _band(found: Sensitivity) -> dict[str, object]:
    return {
        "sign": found.sign,
        "unit": found.unit,
        "threshold": found.threshold.tolist(),
        "rho": found.rho.tolist(),
        "dtr_diff": _ends(found, "dtr_diff"),
        "dtr": {
            model: {
                name: _plain(getattr(found, f"dtr{end}")[..., m]) for name, end in _ENDS.items()
            }
            for m, model in enumerate(found.model)
        },
    }


def _groups(found: DepthByGroup) -> dict[str, object]:
    return {
        "group": list(found.group),
        "n_problems": found.n_problems.tolist(),
        "n_tokens": found.n_tokens.tolist(),
        "depth": {model: _ends(found, "depth", m) for m, model in enumerate(found.model)},
        "diff": _ends(found, "diff"),
        "step": {model: _ends(found, "step", m) for m, model in enumerate(found.model)},
    }


def _ends(found: Result, name: str, *cell: int) -> dict[str, object]:
    """A value, or an array of them, with its ends."""
    return {key: _plain(getattr(found, f"{name}{end}")[cell]) for key, end in _ENDS.items()}


def _plain(values: Tensor) -> object:
    """Numbers as JSON has them: null where there is none."""

    def told(value: object) -> object:
        if isinstance(value, list):
            return [told(inner) for inner in value]
        return None if value != value else value

    return told(values.tolist())
