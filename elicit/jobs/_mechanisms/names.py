"""Names of mechanisms, in the order in which they run: what is told least comes first."""

ARMS = (
    "prompt",
    "prefix",
    "few-shot",
    "cot-decoding",
    "power",
    "budget-forcing",
    "vote",
    "rlvr",
    "one-example",
    "bias",
    "tiny",
    "random-reward",
    "format-reward",
    "sft-answers",
    "sft-traces",
    "critique",
    "critique-shuffled",
    "diff-mean",
    "feature",
    "hybrid",
    "rerank",
    "dial",
    "proxy",
)
"""Every mechanism."""
CHEAP = ("prompt", "prefix", "few-shot", "cot-decoding", "diff-mean", "dial")
"""Default on models of any size: nothing is trained in the weights."""
DEFAULT = (
    *CHEAP,
    "power",
    "rlvr",
    "bias",
    "random-reward",
    "format-reward",
    "sft-answers",
    "sft-traces",
    "hybrid",
    "rerank",
)
"""Default on an embedded pair."""
CONTROLLED = ("prompt", "prefix", "few-shot", "cot-decoding", "power", "rlvr", "bias")
"""Mechanisms that see nothing or answers alone, which the verdict rests on: they run on the pairs
of known truth as well."""
