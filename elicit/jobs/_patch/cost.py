"""What a patching run costs, and what it can do without."""

import torch

from elicit.jobs._budget import Costing, Cut, halves
from elicit.jobs._forecast import Stage
from elicit.jobs._patch.inputs import PatchInputs
from elicit.jobs._patch.spec import PatchSpec
from elicit.pair import ModelPair
from elicit.patching import Plan
from elicit.weights import all_parts, changed_layers, changed_slots

LEAST = 8
"""Fewest problems that a budget keeps."""


def words(direction: str) -> str:
    """Name of a direction as the reader sees it.

    >>> words("post_to_base")
    'post to base'
    """
    return direction.replace("_", " ")


def patch_stages(_spec: PatchSpec, pair: ModelPair, inputs: PatchInputs) -> list[Stage]:
    """The sweeps and the factorial."""
    known = changed_slots(pair)
    outside = {name for name in ("embed", "pos_embed") if name in all_parts(pair)}
    entering = any(not known.isdisjoint(all_parts(pair)[name].slots) for name in outside)
    first = 0 if entering else min(changed_layers(pair), default=pair.n_layers)
    stages = [
        _sweep(words(direction), plan, first if plan.swap.question == "across" else 0)
        for direction, plan in inputs.plans.items()
    ]
    if inputs.factorial is not None:
        stages.append(_factorial(pair, inputs, first))
    return stages


def patch_cuts(spec: PatchSpec, _pair: ModelPair, inputs: PatchInputs) -> list[Cut]:
    """What a sweep leaves out to fit a budget, in order."""
    cuts = []
    if inputs.factorial is not None:
        cuts.append(Cut(options={"factorial": False}, what="the factorial was left out"))
    if len(spec.controls) > 1:
        cuts.append(
            Cut(options={"controls": ("noise",)}, what="the other-prompt control was left out")
        )
    few = halves(len(inputs.contrast), 2 * LEAST, "problems")
    fewer = halves(len(inputs.contrast), LEAST, "problems")[len(few) :]
    if spec.positions == "each":
        last = tuple(range(-8, 0))
        shortest = min(map(len, inputs.contrast.clean))
        if shortest > len(last):
            few.append(
                Cut(options={"positions": last}, what="only the last 8 positions were patched")
            )
    if not spec.sites:
        few.append(
            Cut(
                options={"sites": ("resid_post" if spec.question == "across" else "resid_pre",)},
                what="only the residual stream was patched, not what attention and MLPs write",
            )
        )
    return [*cuts, *few, *fewer]


def _sweep(name: str, plan: Plan, first: int) -> Stage:
    """One sweep: each cell runs from its layer and its first column on."""
    n_layers = plan.pair.n_layers
    lengths = torch.tensor(
        [len(row) + len(answer) - 1
         for row, answer in zip(plan.host_rows, plan.contrast.answer, strict=True)]
    )  # fmt: skip
    after = (lengths[:, None] - plan.columns.span[..., 0]).clamp(min=1).sum().item()
    cells = plan.columns.span.shape[0] * plan.columns.span.shape[1]
    # Below the first layer that differs, the donor's activation is the host's and nothing runs.
    alike = len(plan.width) + ("noise" in plan.control)
    tokens = lanes = 0.0
    for site in plan.sites:
        runs = ("other_prompt" in plan.control) + alike * (site.layer >= first)
        tokens += runs * after * (n_layers - site.layer - 0.5) / n_layers
        lanes += runs * cells
    batch = min(int(lengths.sum()), plan.execution.max_tokens) * plan.pair.d_model
    return Stage(
        name=name,
        tokens=tokens + 3 * int(lengths.sum()),
        # A difference of two logits needs two rows of the unembedding.
        unembedded=0 if plan.metric == ("logit_diff",) else lanes,
        nbytes=4.0 * batch * (4 * n_layers + len(plan.sites)),
        context=float((lengths**2).sum() / lengths.sum()),
    )


def _factorial(pair: ModelPair, inputs: PatchInputs, first: int) -> Stage:
    """Every boundary above the first layer that differs, in both directions."""
    n_layers, n = pair.n_layers, len(inputs.contrast)
    tokens = sum(
        len(row) + len(answer) - 1
        for row, answer in zip(inputs.contrast.clean, inputs.contrast.answer, strict=True)
    )
    share = sum((n_layers - boundary) / n_layers for boundary in range(first + 1, n_layers))
    return Stage(
        name="factorial",
        tokens=tokens * (2 + 2 * share),
        unembedded=4.0 * n * (n_layers + 2),
        nbytes=4.0 * tokens * pair.d_model * 4 * n_layers,
        context=tokens / n,
    )


PATCH_COSTING = Costing(stages=patch_stages, cuts=patch_cuts)
