"""What trying mechanisms costs, and what it can do without."""

from elicit.elicitation import training_memory
from elicit.jobs._budget import Costing, Cut, halves
from elicit.jobs._cued_cost import plain
from elicit.jobs._forecast import Stage, prompt_tokens
from elicit.jobs._mechanisms.inputs import MechanismInputs
from elicit.jobs._mechanisms.names import CHEAP, SEEDED, SETTINGS, TRAINED
from elicit.jobs._mechanisms.spec import MechanismsSpec
from elicit.pair import ModelPair
from elicit.rollouts import Generation
from elicit.runs import Execution

LEAST = 48
"""Fewest problems that a budget keeps."""
_KNOWN = 5_000_000
"""Parameters above which the embedded pairs of known truth cost next to nothing beside the run."""


def mechanisms_stages(
    spec: MechanismsSpec, pair: ModelPair, inputs: MechanismInputs
) -> list[Stage]:
    """Both models, every mechanism, the pairs of known truth, and what stands beside."""
    side = pair.side("base")
    length = spec.max_new_tokens
    read = {
        name: prompt_tokens(side, task, templated=spec.templated)
        for name, task in (("choose", inputs.choose), ("test", inputs.test))
    }
    n_choose, n_test = len(inputs.choose), len(inputs.test)
    samples = 1 + spec.samples
    longest = max(read["test"] / n_test, read["choose"] / n_choose) + length
    context, cached = longest - length / 2, Generation().batch_size * longest
    stages = [
        Stage(
            name="both models",
            tokens=2 * samples * read["test"],
            written=2 * samples * n_test * length,
            texts=2 * samples * n_test,
            context=context,
            cached=cached,
        )
    ]
    for name in spec.tried:
        runs = spec.seeds if name in SEEDED else 1
        settings = SETTINGS.get(name, 1)
        written = (settings * n_choose + samples * n_test * runs) * length
        stages.append(
            Stage(
                name=name,
                tokens=settings * read["choose"]
                + samples * read["test"] * runs
                + (3 * runs * spec.training_tokens if name in TRAINED else 0),
                written=written + (runs * spec.training_tokens / 2 if name in TRAINED else 0),
                jobs=1 + runs,
                nbytes=_training_bytes(spec, pair, name) if name in TRAINED else 0,
                context=context,
                cached=cached,
            )
        )
    small = sum(p.numel() for p in pair.base.parameters()) < _KNOWN
    trained = sum(name in TRAINED for name in spec.repeated)
    for truth in spec.known:
        tokens = trained * spec.training_tokens if small else 0
        stages.append(
            Stage(name=f"known pair: {truth}", tokens=3 * tokens, written=tokens / 2, jobs=8)
        )
    stages.append(
        Stage(
            name="beside",
            tokens=12 * read["test"] + (3 * spec.training_tokens if spec.learns else 0),
            written=8 * n_test * length,
            jobs=6,
            nbytes=_training_bytes(spec, pair, "") if spec.learns else 0,
            context=context,
            cached=cached,
        )
    )
    return stages


def _training_bytes(spec: MechanismsSpec, pair: ModelPair, name: str) -> int:
    """Memory of a mechanism's training; of all weights where it is none that trains fewer."""
    trainable = name if name in ("bias", "tiny") else "all"
    return training_memory(pair.base, trainable, execution=Execution(max_tokens=spec.max_tokens))


def mechanisms_cuts(spec: MechanismsSpec, _pair: ModelPair, inputs: MechanismInputs) -> list[Cut]:
    """Fewer seeds, then no training of weights, then fewer problems."""
    cuts = []
    if spec.seeds > 1 and any(name in SEEDED for name in spec.tried):
        cuts.append(Cut(options={"seeds": 1}, what="each mechanism was trained once"))
    light = tuple(name for name in spec.tried if name not in TRAINED) or CHEAP
    if light != spec.tried:
        cuts.append(Cut(options={"arms": light}, what="nothing was trained"))
    if spec.samples:
        cuts.append(Cut(options={"samples": 0}, what="no texts were sampled"))
    n = len(inputs.choose) + len(inputs.test) + (0 if spec.embedded else len(inputs.fit))
    return [*cuts, *halves(n, LEAST, "problems")]


MECHANISMS_COSTING = Costing(
    stages=mechanisms_stages,
    cuts=mechanisms_cuts,
    asked=lambda spec, inputs: (inputs.choose, plain(spec)),
)
