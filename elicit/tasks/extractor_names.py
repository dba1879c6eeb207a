"""Names of extractors, which a problem may carry."""

from elicit.tasks.faults import shown

NAMES = (
    "default",
    "last-candidate",
    "last-number",
    "boxed",
    "choice",
    "gsm8k",
    "math-verify",
)
"""Extractors by name; `marker:WORD` is one more for every word."""


def extractor_faults(value: object) -> list[tuple[str, str]]:
    """What keeps a value from naming an extractor, and what to do about it."""
    if value is None or value in NAMES:
        return []
    if isinstance(value, str) and value.startswith("marker:") and value[len("marker:") :].strip():
        return []
    what = f"'extractor' is {shown(value)}, which names none"
    return [(what, f"Write one of {', '.join(NAMES)}, marker:WORD, or leave it out")]
