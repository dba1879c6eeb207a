"""Content of `summary.json` for written thoughts: the verdict, then every number."""

from collections.abc import Mapping

from elicit.jobs._summary import finite
from elicit.results import Estimate, Result
from elicit.traces import (
    Anchors,
    AnswerCalibration,
    Crossing,
    Epistemic,
    LengthAgainst,
    Measures,
    Reach,
    Receivers,
    Shifts,
    Thoughts,
    VoteSweep,
)
from elicit.verdicts import Scorecard


def trace_summary(
    results: Mapping[str, Result], thoughts: Mapping[str, Thoughts]
) -> dict[str, object]:
    """Content of `summary.json`."""
    card = results["scorecard"]
    assert isinstance(card, Scorecard)
    return {
        **_headline(card),
        "without_truncated": _complete(results.get("scorecard_complete")),
        "thoughts": {
            "source": card.source,
            **{
                name: {
                    "n": len(found),
                    "left_out": found.n_left_out,
                    "truncated": sum(item.truncated for item in found.items),
                }
                for name, found in thoughts.items()
            },
        },
        "reach": _reach(results.get("reach")),
        "votes": _votes(results.get("votes")),
        "shifts": _shifts(results.get("shifts")),
        "crossing": _crossings(results),
        "receivers": _receivers(results.get("receivers")),
        "calibration": _calibration(results.get("calibration")),
        "epistemic": _epistemic(results.get("epistemic")),
        "lengths": _lengths(results.get("lengths")),
        **{
            name: _measures(found) for name, found in results.items() if isinstance(found, Measures)
        },
        "anchor_steps": _anchor_steps(results.get("anchors")),
    }


def _headline(card: Scorecard) -> dict[str, object]:
    """The verdict and every number of a card."""
    return {
        "verdict": card.verdict,
        "reason": card.reason,
        "detectable": finite(card.detectable),
        "n_problems": card.n_problems,
        "primaries": {
            name: {
                "unit": card.unit[i],
                **_models(card.value[i]),
                "diff": card.difference[i].to_json(),
                "p": finite(float(card.p[i])),
                "note": card.note[i] or None,
            }
            for i, name in enumerate(card.primary)
        },
        "covariates": {
            name: _models(card.covariate_value[i]) for i, name in enumerate(card.covariate)
        },
        "problems": dict(zip(card.item_verdict, finite(card.item_share.tolist()), strict=True)),
    }


def _complete(found: Result | None) -> dict[str, object] | None:
    """The same without the problems whose texts were cut; None where none was."""
    if not isinstance(found, Scorecard):
        return None
    return {"left_out": found.n_cut, **_headline(found)}


def _reach(found: Result | None) -> dict[str, object] | None:
    """pass@k, its floor, and coverage, by k."""
    if not isinstance(found, Reach):
        return None
    parts = {name: getattr(found, name) for name in ("passed", "floor", "above", "verified")}
    return {
        "k": found.k.tolist(),
        "n_samples": found.n_samples,
        "n_solved": found.n_solved,
        **{name: _models(value) for name, value in parts.items()},
        "valid": _models(found.valid),
        "coverage": found.coverage.to_json(),
        "coverage_above": found.coverage_above.to_json(),
        "crossover": finite(found.crossover.to_json()),
    }


def _votes(found: Result | None) -> dict[str, object] | None:
    """Votes at equal tokens, by budget."""
    if not isinstance(found, VoteSweep):
        return None
    return {
        "budget": found.budget.tolist(),
        "mean_tokens": found.mean_tokens.tolist(),
        "n_votes": found.n_votes.tolist(),
        "exhausted": found.exhausted.tolist(),
        **{name: _models(getattr(found, name)) for name in ("accuracy", "single")},
        "diff": found.difference.to_json(),
    }


def _shifts(found: Result | None) -> dict[str, object] | None:
    """Every number by the source of the texts and by which tokens are counted."""
    if not isinstance(found, Shifts):
        return None
    return {
        source: {
            part: {
                "n_tokens": int(found.n_tokens[j, i]),
                "chance": finite(found.chance[j, i].item()),
                "cutoff": finite(found.cutoff[j, i].item()),
                **{
                    name: {"unit": found.unit[row], **found.estimate[row, j, i].to_json()}
                    for row, name in enumerate(found.metric)
                },
            }
            for j, part in enumerate(found.part)
        }
        for i, source in enumerate(found.source)
    }


def _crossings(results: Mapping[str, Result]) -> dict[str, object] | None:
    """Accuracy of each writer alone and with tokens of the other model, by rule and budget."""
    made = [found for found in results.values() if isinstance(found, Crossing)]
    return {
        found.host: {
            "donor": found.donor,
            "alone": {name: found.alone[i].to_json() for i, name in enumerate(found.writer)},
            "rules": {
                rule: [
                    {
                        "budget": finite(found.budget[j].item()),
                        "p": finite(found.p[i, j].item()),
                        **{
                            name: getattr(found, name)[i, j].to_json()
                            for name in ("accuracy", "change", "used")
                        },
                    }
                    for j in range(len(found.budget))
                ]
                for i, rule in enumerate(found.rule)
            },
        }
        for found in made
    } or None


def _anchor_steps(found: Result | None) -> dict[str, object] | None:
    """How many steps were compared, and how their importances go together."""
    if not isinstance(found, Anchors):
        return None
    return {
        "n_problems": len(found.problem),
        "n_steps": len(found.step_text),
        "n_samples": found.n_samples,
        "correlation": {
            name: _models(found.correlation[i]) for i, name in enumerate(found.pairing)
        },
    }


def _receivers(found: Result | None) -> dict[str, object] | None:
    """Of each model the head that picks single steps most, beyond its recency."""
    if not isinstance(found, Receivers):
        return None
    told: dict[str, object] = {}
    for m, name in enumerate(found.reading):
        place = int(found.above_recency.value[m].argmax())
        row, column = divmod(place, len(found.head))
        told[name] = {
            "n_texts": int(found.n_texts[m]),
            "layer": int(found.layer[row]),
            "head": int(found.head[column]),
            "above_recency": found.above_recency[m, row, column].to_json(),
        }
    return told


def _calibration(found: Result | None) -> dict[str, object] | None:
    """Every measure of calibration, beside the accuracy."""
    if not isinstance(found, AnswerCalibration):
        return None
    return {
        "accuracy": found.accuracy.tolist(),
        "n_errors": found.n_errors.tolist(),
        "n": found.n.tolist(),
        **{
            name: {**_models(found.value[i]), "diff": found.difference[i].to_json()}
            for i, name in enumerate(found.measure)
        },
    }


def _epistemic(found: Result | None) -> dict[str, object] | None:
    """Rates of the markers that occur, and whether they stand before unsure values."""
    if not isinstance(found, Epistemic):
        return None
    return {
        "per_100_tokens": {
            name: {**_models(found.per_100_tokens[i]), "diff": found.difference[i].to_json()}
            for i, name in enumerate(found.marker)
            if name == "any" or int(found.count[i].sum())
        },
        "n_values": found.n_values.tolist(),
        "n_marked": found.n_marked.tolist(),
        **{name: _models(getattr(found, name)) for name in ("slope", "above_controls", "auroc")},
    }


def _lengths(found: Result | None) -> dict[str, object] | None:
    """Rank correlations of length."""
    if not isinstance(found, LengthAgainst):
        return None
    return {
        "mean_tokens": found.mean_tokens.tolist(),
        **{name: _models(getattr(found, name)) for name in ("work", "distance", "right")},
    }


def _models(value: Estimate) -> dict[str, object]:
    return {"base": value[0].to_json(), "post": value[1].to_json()}


def _measures(found: Measures) -> dict[str, object]:
    return {
        name: {
            "unit": found.unit[i],
            **_models(found.estimate[i]),
            "diff": found.difference[i].to_json(),
            "median": finite(found.median[i].tolist()),
            "n": found.n[i].tolist(),
        }
        for i, name in enumerate(found.metric)
    }
