"""The runs of an audit: each is a command with options that it would take alone."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, get_origin

import yaml

from elicit import organisms
from elicit.grafting import LayerRoles
from elicit.jobs._audit.protocol import Protocol
from elicit.jobs._audit.spec import COMMANDS, AuditSpec
from elicit.jobs._mechanisms.names import CHEAP
from elicit.jobs._spec import PairSpec, SpecError
from elicit.jobs.registry import COMMANDS as ENTRIES
from elicit.pair import ModelPair

ASKS = {
    "report": "Which layers were changed, corrupted or carry a gain?",
    "patch": "Where does the decision enter?",
    "patch-facts": "Where does what was lost leave?",
    "revise": "When do predictions settle?",
    "exists": "Does base already have it?",
    "mechanisms": "What elicits it, and was it elicited or created?",
    "trace": "Does the written thought still decide?",
}
"""What each run asks, by its folder."""
_OWN_PROBLEMS = 60
"""Facts whose loss is located, at most, unless `limit` says otherwise."""
_NOT_SHARED = {"problems", "out", "fresh", "budget"}
"""Options that a run does not take over as they are."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One run of an audit."""

    name: str
    """Its folder in the audit's."""
    spec: PairSpec
    """Options, as the command alone would take them."""

    @property
    def command(self) -> str:
        """The command that runs it."""
        return self.spec.command

    def with_options(self, options: Mapping[str, object]) -> "Part":
        """The run under other options.

        Args:
            options: By name.

        Raises:
            SpecError: One is invalid.
        """
        given = self.spec.model_dump(exclude_unset=True)
        return replace(self, spec=type(self.spec).from_options(given, options))


def parts_of(spec: AuditSpec, protocol: Protocol | None) -> dict[str, Part | str]:
    """The runs of an audit by their folders; a text says why one cannot be asked.

    Args:
        spec: Options of the audit.
        protocol: Its margins are options of commands.

    Raises:
        SpecError: A setting names no command or option, or is invalid.
    """
    _check_settings(spec, protocol)
    found: dict[str, Part | str] = {}
    for command in spec.commands:
        lacking = _lacking(spec, command)
        found[command] = lacking or _part(spec, command, protocol)
    return found


def _part(spec: AuditSpec, command: str, protocol: Protocol | None) -> Part:
    options = {
        **_common(spec, command),
        **_special(spec, command),
        **({} if protocol is None else protocol.margins.get(command, {})),
        **_settings(spec, command),
    }
    folder = spec.out / command
    try:
        made = ENTRIES[command].spec.from_options(options, {"out": folder, "fresh": spec.fresh})
    except SpecError as error:
        raise SpecError(f"{command}: {error}") from error
    return Part(name=command, spec=made)


def _common(spec: AuditSpec, command: str) -> dict[str, object]:
    """Options that were given for all commands, as far as this one has them."""
    fields = ENTRIES[command].spec.model_fields
    # What equals a default may come from a run.yaml, which has every option.
    given = spec.model_dump(exclude_defaults=True, exclude=_NOT_SHARED)
    own = {name: value for name, value in given.items() if name in fields}
    if spec.problems is not None:
        own["problems"] = spec.problems
    return own


def _special(spec: AuditSpec, command: str) -> dict[str, object]:
    """Defaults of an audit that differ from those of a command."""
    if command != "mechanisms":
        return {}
    opens = spec.opener is not None or spec.pair is not None
    chosen = tuple(arm for arm in CHEAP if arm != "prefix" or opens)
    return {
        "arms": chosen,
        "samples": 0,
        **({"openers": (spec.opener,)} if spec.opener is not None else {}),
    }


def _lacking(spec: AuditSpec, command: str) -> str:
    """What a command needs and the audit was not given; empty where nothing is missing."""
    if spec.pair is not None or command == "report":
        return ""
    if spec.problems is None:
        return "no problems were given (`problems`)"
    if command in ("exists", "mechanisms") and spec.reasoning_cue is None:
        return (
            "no cues were given (`reasoning_cue` and `direct_cue`), so it is not clear which "
            "behaviour to look for"
        )
    return ""


def _settings(spec: AuditSpec, command: str) -> dict[str, object]:
    fields = ENTRIES[command].spec.model_fields
    return {
        name: _value(fields[name].annotation, text)
        for name, text in spec.own_settings.get(command, {}).items()
    }


def _value(kind: Any, text: str) -> object:
    """The value of an option from its text."""
    if get_origin(kind) is tuple:
        return tuple(_scalar(word.strip()) for word in text.split(",") if word.strip())
    return _scalar(text)


def _scalar(text: str) -> object:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def setting(command: str, option: str, value: object) -> str:
    """An option of one command as the option `settings` has it.

    Args:
        command: The command.
        option: Its option.
        value: Its value.
    """
    items = value if isinstance(value, tuple) else (value,)
    words = [_word(item) for item in items]
    return f"{command}.{option}={','.join(words)}"


def _word(item: object) -> str:
    return str(item).lower() if isinstance(item, bool) else str(item)


def _check_settings(spec: AuditSpec, protocol: Protocol | None) -> None:
    """Refuse settings of unknown commands or options, and those that the protocol froze."""
    frozen = {} if protocol is None else protocol.margins
    for command, options in spec.own_settings.items():
        if command not in COMMANDS:
            raise SpecError(
                f"settings has {command}.{next(iter(options))}, and an audit has no command "
                f"{command}. Choose among {', '.join(COMMANDS)}."
            )
        names = set(ENTRIES[command].spec.model_fields) - {"out", "fresh", "budget", "pair"}
        for option in options:
            if option not in names:
                close = difflib.get_close_matches(option, names, n=1)
                raise SpecError(
                    f"settings has {command}.{option}, and {command} has no such option"
                    + (f" (did you mean {close[0]}?)" if close else "")
                    + f". See `elicit {command} --help`, with underscores."
                )
            if option in frozen.get(command, {}):
                raise SpecError(
                    f"settings has {command}.{option}, which the protocol froze at "
                    f"{frozen[command][option]}. Leave it out of one of them."
                )


def refined(spec: AuditSpec, part: Part, pair: ModelPair, roles: LayerRoles | None) -> list[Part]:
    """Where the decision enters, asked at the layers that `report` named.

    Args:
        spec: Options of the audit.
        part: `patch` at every layer.
        pair: The two models.
        roles: What `report` found; None where it did not tell.

    Returns:
        One run on the problems, another on the facts if those were lost.
    """
    if roles is None:
        return [part]
    chosen = "sites" in spec.own_settings.get("patch", {})
    skilled, corrupted = roles.skill_layers, roles.corrupted_layers
    found = [part if chosen or not skilled else _at(part, pair, skilled)]
    path = spec.facts
    if path is None and spec.pair is not None:
        path = organisms.resolve(spec.pair).facts
    if corrupted and path is not None:
        limit = spec.limit or _OWN_PROBLEMS
        lost = replace(part, name="patch-facts").with_options(
            {
                "problems": path,
                "map": spec.facts_map,
                "limit": limit,
                "out": part.spec.out.parent / "patch-facts",
            }
        )
        found.append(lost if chosen else _at(lost, pair, corrupted))
    return found


def _at(part: Part, pair: ModelPair, layers: tuple[int, ...]) -> Part:
    """Patch at some layers, the residual stream below them, and their heads."""
    if len(layers) > pair.n_layers // 2:
        return part
    streams = sorted({*layers, *(layer - 1 for layer in layers if layer)})
    n_heads = pair.base.cfg.n_heads
    sites = [
        *(f"resid_post.{layer}" for layer in streams),
        *(f"{kind}.{layer}" for kind in ("attn_out", "mlp_out") for layer in layers),
        *(f"z.{layer}.{head}" for layer in layers for head in range(n_heads)),
    ]
    return part.with_options({"sites": tuple(sites)})
