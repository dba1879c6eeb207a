"""Model cards: what was measured, what it does not say, and digests of every file."""

from collections.abc import Mapping, Sequence
from typing import Any

from elicit.directions import Direction
from elicit.features import Sae
from elicit.results import Result

_RUN_LIMITS = (
    "The numbers hold for this pair of models, these problems and these prompts. Intervals cover "
    "other problems of the same kind, nothing else.",
    "A null result means that nothing was found with so many problems; the page says how small an "
    "effect would have been seen.",
)
_VECTOR_LIMITS = (
    "A vector that steers shows that pushing there is enough, not that the model uses this "
    "direction by itself.",
    "It was evaluated at the tokens, scale and prompts named here. Elsewhere it may do something "
    "else, or nothing but damage.",
)
_SAE_LIMITS = (
    "What the SAE leaves of the activation (its error term) is not explained by its features.",
    "A feature's description is a summary of texts on which it is active, and no cause.",
)


def card(
    title: str,
    *,
    about: Sequence[str],
    limits: Sequence[str],
    facts: Mapping[str, object],
    files: Mapping[str, str],
    library: str = "elicit",
    models: Sequence[str] = (),
) -> str:
    """A README.md for the hub.

    Args:
        title: What it is.
        about: Findings, a sentence each.
        limits: What they do not say, a sentence each.
        facts: Digests, versions and numbers by name.
        files: SHA-256 of each file by its name.
        library: Library that reads it.
        models: Hub ids of models that it belongs to.
    """
    head = ["---", f"library_name: {library}", "tags:", "- interpretability", "- elicit"]
    named = [name for name in models if _is_hub_id(name)]
    head += ["base_model:", *(f"- {name}" for name in named)] if named else []
    lines = [*head, "---", "", f"# {_line(title)}", ""]
    lines += [_line(each) for each in about] or ["See the files."]
    lines += ["", "## What this does not say", "", *(f"- {_line(each)}" for each in limits)]
    lines += ["", "## Origin", "", "| | |", "|---|---|"]
    lines += [f"| {_cell(name)} | {_cell(value)} |" for name, value in facts.items()]
    lines += ["", "## Files", "", "| file | SHA-256 |", "|---|---|"]
    lines += [f"| `{name}` | `{digest}` |" for name, digest in sorted(files.items())]
    return "\n".join(lines) + "\n"


def limits_of(things: Sequence[Result | Sae], notes: Sequence[str]) -> list[str]:
    """What results do not say, and what their run remarked.

    Args:
        things: What is published.
        notes: Remarks of the run.
    """
    found: list[str] = []
    if any(isinstance(thing, Direction) for thing in things):
        found += _VECTOR_LIMITS
    if any(isinstance(thing, Sae) for thing in things):
        found += _SAE_LIMITS
    if any(isinstance(thing, Result) and not isinstance(thing, Direction) for thing in things):
        found += _RUN_LIMITS
    return [*found, *notes]


def facts_of(things: Mapping[str, Result | Sae], summary: Mapping[str, Any]) -> dict[str, object]:
    """Digests and versions behind what is published.

    Args:
        things: What is published, by name.
        summary: Content of `summary.json`, or nothing.
    """
    facts: dict[str, object] = {}
    pair = summary.get("pair")
    if isinstance(pair, dict):
        facts |= {name.replace("_", " "): value for name, value in pair.items()}
    for name, thing in things.items():
        if isinstance(thing, Sae):
            fvu, l0 = thing.published.fvu, thing.published.l0
            facts[f"{name}: site"] = thing.site
            facts[f"{name}: features"] = thing.d_sae
            facts[f"{name}: weights"] = thing.digest
            facts |= {f"{name}: FVU": fvu} if fvu is not None else {}
            facts |= {f"{name}: L0": l0} if l0 is not None else {}
        elif isinstance(thing, Direction):
            facts[f"{name}: site"] = thing.site
            facts[f"{name}: model"] = f"{thing.model} ({thing.model_digest})"
            facts[f"{name}: how"] = f"{thing.how}, {thing.position}, n = {thing.n}"
            facts[f"{name}: norm"] = f"{thing.norm:.4g} (activations {thing.resid_norm:.4g})"
    origin = next((t.provenance for t in things.values() if isinstance(t, Result)), None)
    if origin is not None:
        facts |= {f"version of {name}": version for name, version in origin.versions.items()}
        facts |= {f"task {name}": digest for name, digest in origin.task_digests.items()}
    return facts


def _is_hub_id(name: str) -> bool:
    """Whether a model's name can stand in the head of a card."""
    return name.count("/") == 1 and all(part.isprintable() and part for part in name.split("/"))


def _line(text: object) -> str:
    """Text that cannot begin a heading, a table or HTML of its own."""
    plain = " ".join(str(text).split())
    return plain.replace("<", "&lt;").replace("|", "\\|")


def _cell(value: object) -> str:
    return _line(f"{value:.4g}" if isinstance(value, float) else value)
