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
    "diff-mean-random",
    "feature",
    "feature-controls",
    "hybrid",
    "hybrid-random",
    "rerank",
    "dial",
    "proxy",
)
"""Every mechanism."""
CHEAP = (
    "prompt",
    "prefix",
    "few-shot",
    "cot-decoding",
    "diff-mean",
    "diff-mean-random",
    "dial",
)
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
    "hybrid-random",
    "rerank",
)
"""Default on an embedded pair."""
CONTROLLED = ("prompt", "prefix", "cot-decoding", "power", "rlvr", "bias", "diff-mean")
"""Mechanisms that see nothing or answers alone, which the verdict rests on: they run on the pairs
of known truth as well."""
TRAINED = (
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
)
"""Mechanisms that train parameters on gradients, once for each seed."""
SEEDED = ("rlvr", "one-example", "random-reward")
"""Of these, those whose outcome depends most on the seed: they are trained several times."""
SETTINGS = {
    "prompt": 3,
    "cot-decoding": 10,
    "power": 16,
    "vote": 8,
    "diff-mean": 16,
    "diff-mean-random": 32,
    "feature": 4,
    "hybrid": 2,
    "dial": 5,
    "proxy": 3,
}
"""Texts that each mechanism writes to a problem to choose its setting, where it is not one."""
