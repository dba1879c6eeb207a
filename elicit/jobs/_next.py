"""The command that goes on from a finding."""

import shlex
from collections.abc import Mapping
from typing import Any

from elicit.jobs._cued_spec import CuedSpec
from elicit.jobs._spec import PairSpec
from elicit.jobs.registry import COMMANDS

_CARRIED = (
    *("pair", "base", "post", "base_revision", "post_revision", "renamed_tokens", "adds_bos"),
    *("vocab", "trust_remote_code", "unused_tensors", "problems", "templated", "separator"),
    *(
        "reasoning_cue",
        "direct_cue",
        "shown",
        "extractor",
        "device",
        "post_device",
        "dtype",
        "device_map",
        "offload",
    ),
)
"""Options that say which models and problems, and on what machine."""


def following(spec: PairSpec, command: str, *further: str, **changed: object) -> str:
    """A command that asks another question of the same models and problems.

    Args:
        spec: Options of the finished job.
        command: The command.
        further: Words after the options that are carried over.
        changed: Options that take another value, by field name; None leaves one out.
    """
    target = COMMANDS[command].spec
    words = ["elicit", command]
    given: dict[str, object] = {}
    for name in _CARRIED:
        field = type(spec).model_fields.get(name)
        if field is not None and name in target.model_fields:
            value = getattr(spec, name)
            given |= {name: value} if value != field.default else {}
    given |= {name: value for name, value in changed.items() if name in target.model_fields}
    for name, value in given.items():
        flag = f"--{name.replace('_', '-')}"
        if value is True:
            words.append(flag)
        elif isinstance(value, tuple):
            words += [flag, ",".join(map(str, value))]
        elif value is False:
            words.append(f"--no-{flag[2:]}")
        elif value is not None:
            words += [flag, str(value)]
    if issubclass(target, CuedSpec) and spec.pair is None and "reasoning_cue" not in given:
        words += ["--reasoning-cue", "Think step by step. ", "--direct-cue", "Answer at once. "]
    name = command if command != spec.command else f"{command}-further"
    return shlex.join([*words, *further, "--out", f"runs/{name}"])


def suggested(spec: PairSpec, summary: Mapping[str, Any]) -> str:
    """The command that goes on from a summary; empty where nothing was found to go on from.

    Args:
        spec: Options of the finished job.
        summary: What it found.
    """
    verdict = summary.get("verdict")
    if spec.command == "report":
        facts = getattr(spec, "facts", None)
        if summary["skill"]:
            return following(spec, "exists")
        if summary["damage"] and facts is not None:
            return following(spec, "patch", problems=facts)
        if summary["corrupted_layers"]:
            return following(spec, "report", "--kinds", "layer,matrix", facts=facts)
        return ""
    if spec.command == "patch":
        found = any(sweep["peak"] for sweep in summary["sweeps"].values())
        return following(spec, "exists") if found and summary["question"] == "across" else ""
    if spec.command == "exists":
        chosen = {"exists": "steer", "not shown": "mechanisms"}.get(str(verdict))
    elif spec.command == "trace":
        chosen = "exists" if verdict == "intact" else None if verdict == "not told" else "report"
    elif spec.command == "mechanisms":
        chosen = {"elicited": "trace", "created": "report"}.get(str(verdict))
    else:
        chosen = {"graft": "report", "revise": "trace", "steer": "mechanisms"}.get(spec.command)
    return "" if chosen is None else following(spec, chosen)
