"""Results built by hand, so that the page can be judged without any model."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from elicit.grafting import Interpolation, IntervalSweep, LayerRoles, Samples, WeightIG
from elicit.results import Estimate, ModelId, Provenance, Result
from elicit.weights import WeightChange

N_LAYERS = 6
CORRUPTED, SKILLED, UNCHANGED = (1, 4), (3,), (5,)

HOSTILE = (
    "</script><script>window.hit=1;alert(1)</script>",
    '<img src=x onerror="window.hit=2"><!-- <script>',
    '<a href="javascript:window.hit=3">click</a><b>bold</b>',
    "\ud800 lone \x00 nul \u202eesrever\u202c \u2028 ]]> ${window.hit=4} {{7*7}} %{x} $\\alpha$",
    '"><svg onload=window.hit=5><style>*{display:none}</style>',
    "<iframe srcdoc='<script>parent.hit=6</script>'></iframe>\r\n<base href=//evil.example>",
)


def provenance() -> Provenance:
    return Provenance(
        base=ModelId("organism:a-base", "a" * 64),
        post=ModelId("organism:a-planted", "b" * 64),
        versions={"elicit": "0.1.0", "torch": "2.13.0"},
        seed=0,
        dtype="float32",
        device="cpu",
        arguments={"level": 0.95, "n_resamples": 2000},
        task_digests={"facts": "c" * 64},
    )


def _around(values: Tensor, half: float) -> Estimate:
    """Values with intervals; an exact 0 keeps a width of 0."""
    width = torch.where(values == 0, 0.0, half)
    return Estimate(value=values, low=values - width, high=values + width)


def roles(
    *,
    tasks: Sequence[str] = ("facts", "problems"),
    plant: bool = True,
    identical: bool = False,
    controls: bool = True,
    n_layers: int = N_LAYERS,
) -> LayerRoles:
    """Facts lost through layers 1 and 4, problems gained through layer 3."""
    names, kinds, layers = [], [], []
    for kind in ("layer", "attn", "mlp"):
        for layer in range(n_layers):
            names.append(f"L{layer}" if kind == "layer" else f"L{layer}.{kind}")
            kinds.append(kind)
            layers.append(layer)
    for name in ("embed", "unembed", "final_norm"):
        names.append(name)
        kinds.append("outside")
        layers.append(-1)
    n = len(names)
    generator = torch.Generator().manual_seed(1)
    changed = torch.tensor(
        [not identical and layer not in UNCHANGED and layer >= 0 for layer in layers]
    )
    noise = 0.012 * torch.randn(2, 4, n, generator=generator, dtype=torch.float64)
    revert, graft, c_revert, c_graft = (noise[:, k] * changed for k in range(4))
    corrupted, carries_skill = torch.zeros(2, n, dtype=torch.bool)
    share = {"layer": 1.0, "attn": 0.15, "mlp": 0.8, "outside": 0.0}
    if plant and not identical:
        for i, (layer, kind) in enumerate(zip(layers, kinds, strict=True)):
            big = share[kind] * (1 if layer == 1 else 0.7)
            if layer in CORRUPTED:
                revert[0, i], graft[0, i] = 0.22 * big, -0.30 * big
            if layer in SKILLED:
                revert[1, i], graft[1, i] = -0.41 * big, 0.33 * big
            if kind != "attn":
                corrupted[i], carries_skill[i] = layer in CORRUPTED, layer in SKILLED
        c_revert -= 0.03 * changed
    only_layers = torch.tensor([kind == "layer" for kind in kinds]) & torch.tensor(controls)
    c_revert, c_graft = (torch.where(only_layers, v, float("nan")) for v in (c_revert, c_graft))
    base, post = torch.tensor([0.97, 0.12]), torch.tensor([0.56, 0.61])
    if identical or not plant:
        post = base + (0 if identical else torch.tensor([-0.01, 0.02]))
    base, post = base.double(), post.double()
    shares = torch.full((4, n), float("nan"), dtype=torch.float64)
    if plant and not identical:
        shares = torch.rand(4, n, generator=generator, dtype=torch.float64)
    role = ("damage", "skill") if plant and not identical else ("none", "none")
    return LayerRoles(
        provenance=provenance(),
        task=tuple(tasks),
        role=role,
        unit=("probability of the answer", "share right"),
        n_problems=torch.tensor([240, 200]),
        base_score=base,
        post_score=post,
        gap=_around(post - base, 0.05),
        part=tuple(names),
        kind=tuple(kinds),
        layer=torch.tensor(layers),
        changed=changed,
        corrupted=corrupted,
        carries_skill=carries_skill,
        revert=_around(revert, 0.035),
        graft=_around(graft, 0.04),
        control_revert=_around(c_revert, 0.02),
        control_graft=_around(c_graft, 0.02),
        solved=Estimate(
            value=shares, low=(shares - 0.08).clamp(min=0), high=(shares + 0.08).clamp(max=1)
        ),
        level=0.95,
        margin=0.05,
        share_margin=0.05,
    )


def change(*, nothing: bool = False, bare: bool = False) -> WeightChange:
    """Layer 0 changes most and matters least."""
    kinds = ("q", "k", "v", "o", "gate", "up", "down", "norm")
    place = [f"L{layer}.{kind}" for layer in range(N_LAYERS) for kind in kinds] + ["embed"]
    layer = torch.tensor([n for n in range(N_LAYERS) for _ in kinds] + [-1])
    generator = torch.Generator().manual_seed(2)
    size = torch.tensor([0.21, 0.06, 0.05, 0.09, 0.05, 0.0, 0.0], dtype=torch.float64)[layer]
    size = size * (0.6 + 0.8 * torch.rand(len(place), generator=generator, dtype=torch.float64))
    size = size * (0 if nothing else 1)
    nan = torch.full_like(size, float("nan"))
    ranks = torch.where(size > 0, 12.3, 0.0).double()
    return WeightChange(
        provenance=provenance(),
        matrix=tuple(f"model.layers.{p}.weight" for p in place),
        place=tuple(place),
        layer=layer,
        relative_norm=size,
        activation_norm=nan if bare else 0.6 * size,
        spectral_norm=nan if bare else size / 3,
        stable_rank=nan if bare else ranks / 2,
        entropy_rank=nan if bare else ranks,
        rank_90=nan if bare else ranks.floor(),
        zero_share=(size == 0).double(),
        intruders=nan if bare else (size > 0.2).double(),
    )


def intervals(tasks: Sequence[str] = ("facts", "problems")) -> IntervalSweep:
    single = roles()
    n = N_LAYERS
    values = {}
    for name in ("revert", "graft"):
        effect = getattr(single, name).value[:, :n]
        grid = torch.full((2, n, n), float("nan"), dtype=torch.float64)
        for first in range(n):
            for last in range(first, n):
                grid[:, first, last] = effect[:, first : last + 1].sum(1)
        values[name] = _around(grid, 0.05)
    return IntervalSweep(
        provenance=provenance(),
        task=tuple(tasks),
        first=torch.arange(n),
        last=torch.arange(n),
        **values,
    )


def interpolation(tasks: Sequence[str] = ("facts", "problems")) -> Interpolation:
    alpha = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0], dtype=torch.float64)
    score = torch.stack([0.97 - 0.41 * alpha**2, 0.12 + 0.49 * alpha**3])
    layers = torch.full((2, N_LAYERS, 5), float("nan"), dtype=torch.float64)
    for layer in range(N_LAYERS):
        layers[0, layer] = 0.97 - (0.3 if layer in CORRUPTED else 0.004 * layer) * alpha**2
    return Interpolation(
        provenance=provenance(),
        task=tuple(tasks),
        alpha=alpha,
        score=Estimate(value=score, low=score - 0.04, high=score + 0.04),
        layer=torch.arange(N_LAYERS),
        layer_score=layers,
    )


def integrated(task: str = "facts") -> WeightIG:
    share = torch.tensor(
        [[0.004, -0.24, -0.01, 0.02, -0.18, 0.0, 0.0, 0.0, 0.0]], dtype=torch.float64
    )
    return WeightIG(
        provenance=provenance(),
        task=(task,),
        part=(*(f"L{n}" for n in range(N_LAYERS)), "embed", "unembed", "final_norm"),
        layer=torch.tensor([*range(N_LAYERS), -1, -1, -1]),
        attribution=share,
        gap=torch.tensor([-0.41], dtype=torch.float64),
        completeness_error=torch.tensor([0.0097], dtype=torch.float64),
        nodes=torch.tensor([16]),
    )


def samples(texts: Sequence[str] = ("7 + 5 = 12. so 12", "12"), task: str = "problems") -> Samples:
    n = len(texts)
    return Samples(
        provenance=provenance(),
        task=task,
        sample=tuple(f"p-{i}" for i in range(n)),
        prompt=tuple(f"question: seven plus five? {text}" for text in texts),
        answer=tuple("12" for _ in texts),
        base_text=tuple(texts),
        post_text=tuple(reversed(texts)),
        base_correct=torch.tensor([i % 2 == 0 for i in range(n)]),
        post_correct=torch.tensor([i % 2 == 1 for i in range(n)]),
    )


def everything() -> list[Result]:
    return [roles(), change(), intervals(), interpolation(), integrated(), samples()]


def hostile() -> list[Result]:
    """Every string that a user or a model writes is an attack."""
    first, second = HOSTILE[0], HOSTILE[2]
    names = (f"{first}{HOSTILE[1]}", f"{second}{HOSTILE[3]}")
    origin = Provenance(
        base=ModelId(HOSTILE[4], HOSTILE[0]),
        post=ModelId(HOSTILE[1], HOSTILE[2]),
        versions={HOSTILE[5]: HOSTILE[0]},
        arguments={HOSTILE[0]: [HOSTILE[1], *HOSTILE]},
        task_digests={names[0]: HOSTILE[4]},
    )
    found: Any = roles(tasks=names)
    part = tuple(f"{HOSTILE[i % 6]}{name}" for i, name in enumerate(found.part))
    weights: Any = change()
    held: list[Any] = [found, weights, intervals(names), interpolation(names), integrated(names[0])]
    held.append(samples(HOSTILE, task=HOSTILE[0]))
    object.__setattr__(found, "part", part)
    object.__setattr__(found, "unit", (HOSTILE[2], HOSTILE[4]))
    object.__setattr__(held[4], "part", tuple(HOSTILE[i % 6] for i in range(9)))
    object.__setattr__(weights, "matrix", tuple(HOSTILE[i % 6] for i in range(len(weights.matrix))))
    object.__setattr__(
        weights, "place", tuple(f"L.{HOSTILE[i % 6]}" for i in range(len(weights.place)))
    )
    for result in held:
        object.__setattr__(result, "provenance", origin)
    return held
