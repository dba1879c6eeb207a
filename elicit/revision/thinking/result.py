"""Results of Think@n: evaluation against controls, and voted answers."""

from dataclasses import dataclass
from typing import Annotated

from jaxtyping import Bool, Float, Int
from torch import Tensor

from elicit.results import Estimate, Result
from elicit.revision.convention import DepthConvention
from elicit.rollouts import Sampling


@dataclass(frozen=True, eq=False, kw_only=True)
class _Selected(Result):
    """What was sampled and read, and which samples are kept."""

    convention: DepthConvention
    """Definitions of settled and deep."""
    model: str
    """Model that generated and was read."""
    lens: str
    """Name of the lens."""
    sampling: Sampling
    """Sampling settings."""
    n: int
    """Samples of each problem."""
    prefix: int
    """Prefix length, tokens, after which a sample is kept or rejected."""
    n_kept: int
    """Samples of each problem that vote, where not all do."""
    n_projected: int
    """Readings of one token at one layer over the whole vocabulary, for the depths."""
    level: float
    """Nominal coverage of the intervals."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ThinkAtN(_Selected):
    """Voting among the samples whose prefixes think deepest, against other ways to vote.

    All arms vote on the same samples, all of which were finished; each arm is charged only the
    tokens that it would generate alone. Reading depths costs another `n_projected` full-vocabulary
    readings, which are not counted as tokens.
    """

    n_draws: int
    """Random orders (controls, choices among equal scores) over which votes are averaged."""
    arm: tuple[str, ...]
    """Ways to vote. `think`: the deepest prefixes. `cons`: all samples. `random`: as many at
    random, of the others nothing is written. `matched`: random ones, in each problem as many as
    cost on average what `think` costs there (at least one, the rest at random). `short`: the
    shortest texts, for which all must be written. `certain`: the highest self-certainty in the
    prefix. `low_entropy`: the lowest entropy in it. `shallow`: the least deep prefixes."""
    accuracy: Annotated[Estimate, " arm"]
    """Share of problems that the vote solves, ties split equally; simultaneous over arms."""
    tokens: Annotated[Estimate, " arm"]
    """Mean generated tokens per problem, with stop tokens, without prompts; simultaneous over
    arms."""
    tied: Float[Tensor, " arm"]
    """Share of samples kept or rejected at random, because kept and rejected ones had their score;
    mean over problems. Where it is 1 the arm is `random`. NaN where no score decides."""
    rival: tuple[str, ...]
    """Arms that all are compared with, on the same problems."""
    gain: Annotated[Estimate, "rival arm"]
    """Accuracy minus that of the rival; simultaneous over arms."""
    score: tuple[str, ...]
    """What is known of a sample: `dtr`, `certainty` and `entropy` (nats) of its prefix, and its
    whole `length`. Lower is better for entropy and length, higher for the others."""
    n_mixed: Int[Tensor, " score"]
    """Problems that have right and wrong samples."""
    auroc: Annotated[Estimate, " score"]
    """Chance that a right sample has the better score than a wrong one to the same problem, mean
    over the mixed problems: 0.5 is chance. NaN where no problem is mixed. Ends for this score
    alone."""
    r: Annotated[Estimate, " score"]
    """Correlation of the better score with being right over all samples of all problems
    (point-biserial): also what problems have in common, such as that hard ones are long. Ends are
    percentiles of resampled problems, for this score alone."""
    problem: tuple[str, ...]
    """Id of each problem."""
    right: Float[Tensor, "arm problem"]
    """Chance that the vote is right."""
    spent: Float[Tensor, "arm problem"]
    """Tokens written for it."""
    value: Float[Tensor, "score problem sample"]
    """Score of each sample; NaN where nothing of it is read, because it ended at once."""
    kept: Bool[Tensor, "problem sample"]
    """Whether `think` keeps it, equal scores by the first random order."""
    correct: Bool[Tensor, "problem sample"]
    """Whether it is right."""
    truncated: Bool[Tensor, "problem sample"]
    """Whether it was cut before it ended."""
    answer: Int[Tensor, "problem sample"]
    """Number of its answer among the different ones to its problem, -1 where none was found."""
    n_tokens: Int[Tensor, "problem sample"]
    """Tokens of the whole text, stop token included."""
    n_begun: Int[Tensor, "problem sample"]
    """Tokens of it within the prefix."""

    @property
    def share(self) -> Float[Tensor, " arm"]:
        """Tokens of each arm as a share of those of the vote over all samples."""
        return self.tokens.value / self.tokens.value[self.arm.index("cons")]

    @property
    def truncated_share(self) -> float:
        """Share of all samples that were cut before they ended."""
        return float(self.truncated.double().mean())

    @property
    def verdict(self) -> dict[str, str]:
        """How Think@n does against each rival: `better`, `worse` or `not distinguishable`."""
        at = self.arm.index("think")
        words = {}
        for row, name in enumerate(self.rival):
            _, low, high = self.gain[row, at].ends
            words[name] = "better" if low > 0 else "worse" if high < 0 else "not distinguishable"
        return words


@dataclass(frozen=True, eq=False, kw_only=True)
class Thought(_Selected):
    """Answers voted by the samples whose prefixes think deepest; the others were never finished."""

    accuracy: Annotated[Estimate, ""]
    """Share of problems that the vote solves; of tied answers each has its share."""
    problem: tuple[str, ...]
    """Id of each problem."""
    answer: tuple[str | None, ...]
    """Answer with the most votes, of tied ones that of the deepest sample; None: no sample gave
    one. Text of a model: never trusted."""
    votes: Float[Tensor, " problem"]
    """Share of the kept samples that gave it."""
    right: Float[Tensor, " problem"]
    """Chance that the vote is right."""
    spent: Int[Tensor, " problem"]
    """Tokens written, stop tokens included."""
    tied: Float[Tensor, " problem"]
    """Share of samples that were kept or rejected at random, because their scores were equal."""
    dtr: Float[Tensor, "problem sample"]
    """Deep-thinking ratio of each prefix; NaN where nothing of it is read."""
    kept: Bool[Tensor, "problem sample"]
    """Whether the sample was finished."""
    truncated: Bool[Tensor, "problem sample"]
    """Whether a kept sample was cut before it ended; False for the others."""
