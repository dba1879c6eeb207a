"""Arms that read another model while base writes: the dial to post, and proxy-tuning."""

from collections.abc import Sequence
from dataclasses import dataclass

from elicit.elicitation.bench import Attempt, Bench, Sees, Writes
from elicit.elicitation.decoding._choosing import best_setting
from elicit.elicitation.decoding.dial import dial
from elicit.elicitation.errors import ElicitationError
from elicit.pair import ModelPair
from elicit.rollouts import Dial, Generation, LogitRule, Proxy, Rollouts, rollouts
from elicit.runs import Execution
from elicit.tasks import Task


@dataclass(frozen=True, eq=False, kw_only=True)
class DialArm:
    """Logits between base and post, and beyond; how far is chosen. A leaky reference.

    Bits: 16 for each of post's parameters, since all of them are read.
    """

    alphas: Sequence[float] = (0.25, 0.5, 1.0, 2.0)
    """How far to go."""
    name: str = "dial to post"
    """What figures and tables call it."""
    sees: Sees = "post weights"
    """What it is told."""
    control: bool = False
    """Whether it is a control."""

    def attempt(self, bench: Bench) -> Attempt:
        """Choose how far to go, and write the test texts there; see `Means`."""
        curve = dial(
            bench.pair,
            bench.choose,
            alphas=self.alphas,
            generation=bench.generation,
            inference=bench.inference,
            execution=bench.execution,
        )
        found = {f"a={a:g}": curve.right[:, at] for at, a in enumerate(curve.alpha.tolist())}
        chosen = best_setting(found)
        rule = Dial(towards=bench.post, a=curve.alpha[list(found).index(chosen.name)].item())
        n_tokens = int(curve.n_tokens.sum() * len(bench.choose))
        return Attempt(
            chosen=chosen.right,
            tests=(bench.tried(ruled(bench, rule), bench.test, sampled=True),),
            bits=_weight_bits(bench.pair),
            n_tokens=n_tokens,
            flops=2 * bench.flops(n_tokens),
            setting=chosen.name,
            rejected=chosen.rejected,
            details={"dial": curve},
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class ProxyArm:
    """Another pair's training, added to base's logits; how much is chosen.

    Bits: 16 for each parameter of that pair's post.
    """

    proxies: ModelPair
    """The other pair: its post is the expert, its base the anti-expert."""
    alphas: Sequence[float] = (0.5, 1.0, 2.0)
    """How much of the difference is added."""
    shared: bool = False
    """Whether vocabularies may differ: only tokens that are the same for all are then written."""
    name: str = "proxy-tuning"
    """What figures and tables call it."""
    sees: Sees = "post weights"
    """What it is told."""
    control: bool = False
    """Whether it is a control, such as a pair that was trained on something else."""

    def attempt(self, bench: Bench) -> Attempt:
        """Choose how much is added, and write the test texts so; see `Means`."""
        if not self.alphas:
            raise ElicitationError("alphas is empty, so nothing would be added. Pass some.")
        rules = {f"a={a:g}": self._rule(a) for a in self.alphas}
        tried = {
            name: bench.tried(ruled(bench, rule), bench.choose, sampled=False)
            for name, rule in rules.items()
        }
        chosen = best_setting({name: each.right for name, each in tried.items()})
        n_tokens = sum(each.n_tokens for each in tried.values())
        return Attempt(
            chosen=chosen.right,
            tests=(bench.tried(ruled(bench, rules[chosen.name]), bench.test, sampled=True),),
            bits=_weight_bits(self.proxies),
            n_tokens=n_tokens,
            flops=3 * bench.flops(n_tokens),
            setting=chosen.name,
            rejected=chosen.rejected,
        )

    def _rule(self, a: float) -> Proxy:
        return Proxy(
            expert=self.proxies.side("post"),
            antiexpert=self.proxies.side("base"),
            a=a,
            vocab="shared" if self.shared else "exact",
        )


def ruled(bench: Bench, rule: LogitRule) -> Writes:
    """Base by a logit rule, as a way to write.

    Args:
        bench: Base and the seed of all random streams.
        rule: The rule.
    """

    def write(task: Task, generation: Generation, execution: Execution) -> Rollouts:
        return rollouts(
            bench.base,
            task,
            generation=generation,
            seed=bench.inference.seed,
            rule=rule,
            execution=execution,
        )

    return write


def _weight_bits(pair: ModelPair) -> float:
    """Bits of a post-trained model's parameters."""
    return 16.0 * sum(p.numel() for p in pair.post.parameters())
