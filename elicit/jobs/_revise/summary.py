"""Content of `summary.json` for settling depths: the finding, then every number."""

import dataclasses
from collections.abc import Mapping

from elicit.jobs._revise.lens import lens_summary
from elicit.results import Estimate, Result
from elicit.revision import DepthByGroup, Sensitivity, Settling, TunedLensFit


def revise_summary(
    results: Mapping[str, Result],
    *,
    fits: Mapping[str, TunedLensFit],
    texts: Mapping[str, Mapping[str, object]],
) -> dict[str, object]:
    """Content of `summary.json`."""
    settled = results["settling"]
    assert isinstance(settled, Settling)
    band, groups = results.get("sensitivity"), results.get("by_difficulty")
    return {
        "deep_from": settled.deep_from,
        "convention": {
            **dataclasses.asdict(settled.convention),
            "nats": settled.convention.nats,
            "text": str(settled.convention),
        },
        "lens": dict(zip(settled.model, settled.lens, strict=True)),
        "lens_fit": lens_summary(fits),
        "level": settled.level,
        "sources": {
            source: {**_source(settled, i), **texts.get(source, {})}
            for i, source in enumerate(settled.source)
        },
        "sensitivity": _band(band) if isinstance(band, Sensitivity) else None,
        "by_difficulty": _groups(groups) if isinstance(groups, DepthByGroup) else None,
    }


def _source(settled: Settling, i: int) -> dict[str, object]:
    """Numbers of one source."""

    def models(estimate: Estimate) -> dict[str, object]:
        return {model: estimate[i, m].to_json() for m, model in enumerate(settled.model)}

    return {
        "n_problems": int(settled.n_problems[i]),
        "n_tokens": int((settled.source_of == i).sum()),
        "mean_depth": models(settled.mean_depth),
        "depth_diff": settled.depth_diff[i].to_json(),
        "dtr": models(settled.dtr),
        "dtr_diff": settled.dtr_diff[i].to_json(),
        "profile": {
            "layers_run": settled.layer.tolist(),
            **models(settled.profile),
            "diff": settled.profile_diff[i].to_json(),
        },
    }


def _band(band: Sensitivity) -> dict[str, object]:
    return {
        "sign": band.sign,
        "unit": band.unit,
        "threshold": band.threshold.tolist(),
        "rho": band.rho.tolist(),
        "dtr_diff": band.dtr_diff.to_json(),
        "dtr": {model: band.dtr[..., m].to_json() for m, model in enumerate(band.model)},
    }


def _groups(groups: DepthByGroup) -> dict[str, object]:
    return {
        "group": list(groups.group),
        "n_problems": groups.n_problems.tolist(),
        "n_tokens": groups.n_tokens.tolist(),
        "depth": {model: groups.depth[m].to_json() for m, model in enumerate(groups.model)},
        "diff": groups.diff.to_json(),
        "step": {model: groups.step[m].to_json() for m, model in enumerate(groups.model)},
    }
