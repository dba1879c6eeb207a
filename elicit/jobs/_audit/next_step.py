"""What to do after an audit, as a command."""

from elicit.jobs._audit.spec import AuditSpec
from elicit.jobs._next import following
from elicit.verdicts import Audit

_TRAINED = ("rlvr", "bias", "random-reward", "format-reward", "sft-answers", "sft-traces", "prompt")


def next_command(spec: AuditSpec, found: Audit) -> str:
    """The command that asks further where something was found; empty where nothing was.

    Args:
        spec: Options of the audit.
        found: What it found.
    """
    verdict = found.verdict[found.question.index("existence")]
    if found.corrupted_layers:
        parts = tuple(f"L{n}.{part}" for n in found.corrupted_layers for part in ("attn", "mlp"))
        facts = {} if spec.facts is None else {"facts": spec.facts}
        return following(spec, "graft", parts=parts, direction="revert", **facts)
    if verdict.startswith("already there"):
        return following(spec, "steer")
    if verdict in ("created", "not elicited", "undecided", "partly there"):
        return following(spec, "mechanisms", arms=_TRAINED)
    return ""
