"""Key figures of the runs, taken from their summaries as they are."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from elicit.jobs._audit.parts import Part
from elicit.jobs._mechanisms.spec import MechanismsSpec
from elicit.jobs._report.spec import ReportSpec
from elicit.jobs._trace.spec import TraceSpec
from elicit.verdicts import ARM_CONTROLS, PRIMARIES, NumberTold

Summary = Mapping[str, Any]
_RUNGS = ("E0", "E1", "E2", "E3", "E4")
_SOURCES = ("given", "base", "post", "prompt")
_SHUFFLED = "same difference, entries shuffled"
_MOVES = {
    "revert": "post with layer {layer} of base, minus post, on {task}",
    "graft": "base with layer {layer} of post, minus base, on {task}",
}
_SOURCE = {
    "given": "the given traces",
    "base": "base’s texts",
    "post": "post’s texts",
    "prompt": "the decision after the prompt",
}


def names_of(parts: Mapping[str, Part], n_layers: int) -> set[str]:
    """Names of all key figures that the runs of an audit can have.

    Args:
        parts: The runs.
        n_layers: Layers of each model.
    """
    found: set[str] = set()
    for part in parts.values():
        found |= {f"{part.name}.{name}" for name in _names(part, n_layers)}
        if part.name == "patch":
            found |= {f"patch-facts.{name}" for name in _names(part, n_layers)}
    return found


def _names(part: Part, n_layers: int) -> Iterator[str]:
    match part.command:
        case "report":
            assert isinstance(part.spec, ReportSpec)
            for task in ("facts", "problems"):
                yield f"{task}.gap"
                yield from (f"{task}.L{n}.{way}" for n in range(n_layers) for way in _MOVES)
        case "patch":
            yield from ("post_to_base", "base_to_post")
        case "revise":
            yield from (f"{source}.depth" for source in _SOURCES)
        case "exists":
            yield from _RUNGS
        case "mechanisms":
            assert isinstance(part.spec, MechanismsSpec)
            yield from ("gap", "share", *(f"{arm}.share" for arm in part.spec.tried))
        case "trace":
            assert isinstance(part.spec, TraceSpec)
            yield from (f"{name}{end}" for name in PRIMARIES for end in ("", ".base", ".post"))
        case _:
            return


def numbers_of(part: Part, summary: Summary) -> list[NumberTold]:
    """Key figures of one finished run.

    Args:
        part: The run.
        summary: Its `summary.json`.
    """
    made = _READERS[part.command](summary)
    return [
        NumberTold(
            name=f"{part.name}.{one.name}",
            says=one.says,
            unit=one.unit,
            estimate=one.estimate,
            beside_name=one.beside_name,
            beside=one.beside,
        )
        for one in made
    ]


def _report(summary: Summary) -> Iterator[NumberTold]:
    units = {task["name"]: task["unit"] for task in summary["tasks"]}
    for task in summary["tasks"]:
        yield NumberTold(
            name=f"{task['name']}.gap",
            says=f"post minus base on {task['name']} ({task['n']} problems)",
            unit=task["unit"],
            estimate=task["gap"],
        )
    for layer in summary["layers"]:
        if not layer["changed"]:
            continue
        for task, effects in layer["effects"].items():
            for way, words in _MOVES.items():
                yield NumberTold(
                    name=f"{task}.L{layer['layer']}.{way}",
                    says=words.format(layer=layer["layer"], task=task),
                    unit=units[task],
                    estimate=effects[way],
                    beside_name=_SHUFFLED,
                    beside=effects[f"control_{way}"],
                )


def _patch(summary: Summary) -> Iterator[NumberTold]:
    for name, sweep in summary["sweeps"].items():
        peak = sweep["peak"]
        if peak is None:
            continue
        controls = {
            "another prompt’s activation": peak["other_prompt"],
            "noise of equal norm": peak["noise"],
        }
        known = {k: v for k, v in controls.items() if v["value"] is not None}
        strongest = max(known, key=lambda k: abs(known[k]["value"]), default="")
        donor, host = ("post", "base") if name == "post_to_base" else ("base", "post")
        yield NumberTold(
            name=name,
            says=f"{donor}’s activation in {host} at {peak['site']}, {peak['pos']}",
            unit="logits" if peak["metric"] == "logit_diff" else str(peak["metric"]),
            estimate=peak["effect"],
            beside_name=strongest,
            beside=known.get(strongest),
        )


def _revise(summary: Summary) -> Iterator[NumberTold]:
    for source, found in summary["sources"].items():
        yield NumberTold(
            name=f"{source}.depth",
            says=f"settling depth, post minus base, on {_SOURCE.get(source, source)}",
            unit="layers",
            estimate=found["depth_diff"],
        )


def _exists(summary: Summary) -> Iterator[NumberTold]:
    for name, rung in summary["rungs"].items():
        yield NumberTold(
            name=name,
            says=f"{name}, {rung['claim']}: {rung['status']}",
            unit=str(rung.get("unit", "")),
            estimate={end: rung[end] for end in ("value", "low", "high")},
            beside_name=rung["control_name"] or "",
            beside=rung["control"],
        )


def _mechanisms(summary: Summary) -> Iterator[NumberTold]:
    yield NumberTold(
        name="gap",
        says="right answers, post minus base, on held-out problems",
        unit="share right",
        estimate=summary["gap"],
    )
    yield NumberTold(
        name="share",
        says=f"share of the gap closed by {summary['best'] or 'the best arm'}, chosen on other "
        "problems",
        unit="share of the gap",
        estimate=summary["share"],
        **_own_control(summary, summary["best"]),
    )
    for name, arm in summary["arms"].items():
        if not arm["control"]:
            yield NumberTold(
                name=f"{name}.share",
                says=f"share of the gap closed by {name}, supervision: {arm['sees']}",
                unit="share of the gap",
                estimate=arm["share"],
                **_own_control(summary, name),
            )


def _own_control(summary: Summary, arm: str) -> dict[str, Any]:
    """The strongest of an arm's own controls; nothing where it has none."""
    arms = summary["arms"]
    own = {name: arms[name]["share"] for name in ARM_CONTROLS.get(arm, ()) if name in arms}
    known = {name: share for name, share in own.items() if share["value"] is not None}
    if not known:
        return {}
    strongest = max(known, key=lambda name: known[name]["value"])
    return {"beside_name": strongest, "beside": known[strongest]}


def _trace(summary: Summary) -> Iterator[NumberTold]:
    for name, found in summary["primaries"].items():
        yield NumberTold(
            name=name,
            says=f"{name}, post minus base",
            unit=found["unit"],
            estimate=found["diff"],
        )
        for model, other in (("base", "post"), ("post", "base")):
            yield NumberTold(
                name=f"{name}.{model}",
                says=f"{name} of {model}",
                unit=found["unit"],
                estimate=found[model],
                beside_name=other,
                beside=found[other],
            )


_READERS: dict[str, Callable[[Summary], Iterator[NumberTold]]] = {
    "report": _report,
    "patch": _patch,
    "revise": _revise,
    "exists": _exists,
    "mechanisms": _mechanisms,
    "trace": _trace,
}


def measured(numbers: Sequence[NumberTold]) -> list[NumberTold]:
    """Key figures that have a value.

    Args:
        numbers: All of them.
    """
    return [one for one in numbers if one.estimate.get("value") is not None]
