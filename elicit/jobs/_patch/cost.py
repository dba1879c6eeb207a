"""What a patching run costs, and what it can do without."""

from collections.abc import Sequence

import torch

from elicit.edits import shape_of
from elicit.jobs._budget import Costing, Cut, halves
from elicit.jobs._forecast import Size, Stage
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
    """One sweep: each cell runs from its layer and its first column on.

    Columns before the first token in which two prompts differ cannot change anything and are not
    run; of the last layer, only keys and values are computed outside of the columns that are read.
    """
    n_layers, size = plan.pair.n_layers, Size.of(plan.pair)
    shape = shape_of(plan.host)
    keys = 2 * shape.d_model * shape.n_kv_heads * shape.d_head / (size.layers / n_layers)
    heads = 2 * shape.d_model * shape.n_heads * shape.d_head / (size.layers / n_layers)
    lengths = torch.tensor(
        [len(row) + len(answer) - 1
         for row, answer in zip(plan.host_rows, plan.contrast.answer, strict=True)]
    )  # fmt: skip
    low, high = plan.columns.span.unbind(-1)
    same = [_shared(*rows) for rows in zip(plan.host_rows, plan.donor_rows, strict=True)]
    runs = high > torch.tensor(same)[:, None]
    if plan.swap.question == "across":
        runs = torch.ones_like(runs)
    after = ((lengths[:, None] - low).clamp(min=1) * runs).sum().item()
    wide = ((high - low) * runs).sum().item()
    cells = runs.sum().item()
    read = sum(
        len(answer) * int(row.sum()) for answer, row in zip(plan.contrast.answer, runs, strict=True)
    )
    # Below the first layer that differs, the donor's activation is the host's and nothing runs.
    alike = len(plan.width) + ("noise" in plan.control)
    tokens = lanes = 0.0
    for site in plan.sites:
        n_runs = ("other_prompt" in plan.control) + alike * (site.layer >= first)
        above = n_layers - site.layer - 1
        whole = max(above - 1, 0) * after
        ends = (after * keys + read * (1 - keys)) * (above > 0)
        if site.kind in ("resid_pre", "q", "k", "v"):
            own = after if above else after * keys + read * (1 - keys)
        else:
            own = wide * (1 - heads - keys) * (site.kind in ("attn_out", "z", "resid_mid"))
        tokens += n_runs * (whole + ends + own) / n_layers
        lanes += n_runs * cells
    batch = min(int(lengths.sum()), plan.execution.max_tokens) * plan.pair.d_model
    return Stage(
        name=name,
        tokens=tokens + (2 + ("other_prompt" in plan.control)) * int(lengths.sum()),
        # A difference of two logits needs two rows of the unembedding.
        unembedded=0 if plan.metric == ("logit_diff",) else lanes,
        nbytes=4.0 * batch * (4 * n_layers + len(plan.sites)),
        context=float((lengths**2).sum() / lengths.sum()),
    )


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    """Tokens that two prompts have in common before they differ.

    >>> _shared([1, 2, 3], [1, 2, 4])
    2
    """
    pairs = zip(one, other, strict=False)
    return next((place for place, (a, b) in enumerate(pairs) if a != b), len(one))


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
