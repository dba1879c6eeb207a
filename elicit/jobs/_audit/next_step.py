"""What to do after an audit, as a command."""

from elicit.jobs._audit.spec import AuditSpec
from elicit.verdicts import Audit

_TRAINED = "rlvr,bias,random-reward,format-reward,sft-answers,sft-traces,diff-mean,prompt"


def next_command(spec: AuditSpec, found: Audit) -> str:
    """The command that asks further where something was found; empty where nothing was.

    Args:
        spec: Options of the audit.
        found: What it found.
    """
    folder, models = spec.out.name, _models(spec)
    verdict = found.verdict[found.question.index("existence")]
    if found.corrupted_layers:
        parts = ",".join(f"L{n}.{part}" for n in found.corrupted_layers for part in ("attn", "mlp"))
        return (
            f"elicit graft {models} --parts {parts} --direction revert --out {folder}-parts "
            "(which part of the corrupted layers)"
        )
    if verdict == "already there, elicited":
        return (
            f"elicit steer {models} --out {folder}-steer (which direction does it, at which dose)"
        )
    if verdict in ("created", "not elicited", "undecided", "partly there"):
        return (
            f"elicit mechanisms --config {folder}/mechanisms/run.yaml --arms {_TRAINED} "
            f"--out {folder}-trained (also what trains the base)"
        )
    return ""


def _models(spec: AuditSpec) -> str:
    if spec.pair is not None:
        return f"--pair {spec.pair}"
    tasks = [
        f"--{name} {path.name}"
        for name, path in (("problems", spec.problems), ("facts", spec.facts))
        if path is not None
    ]
    return " ".join([f"--base {spec.base}", f"--post {spec.post}", *tasks])
