"""What texts under a direction cost, shared by jobs that steer."""

from collections.abc import Sequence

from elicit.jobs._budget import Cut
from elicit.jobs._cued_spec import CuedSpec, GradedSpec
from elicit.jobs._forecast import Stage
from elicit.pair import ModelPair
from elicit.rollouts import Generation
from elicit.sites import parse_site


def written(
    spec: CuedSpec, *, texts: float | int, judged: float | int, prompt: float | int
) -> Stage:
    """Texts of the longest length, and the forwards that judge whether they are coherent.

    `judged`: texts that an unsteered model reads again.
    """
    length, rows = spec.max_new_tokens, Generation().batch_size
    return Stage(
        name="texts",
        tokens=texts * prompt + judged * prompt,
        reread=judged * length,
        written=texts * length,
        texts=round(texts),
        context=prompt + length / 2,
        cached=rows * (prompt + length),
    )


def plain(spec: CuedSpec) -> Generation:
    """How texts are written, greedily and one a problem."""
    return Generation(max_new_tokens=spec.max_new_tokens, templated=spec.templated)


def every_layers(sites: Sequence[str], pair: ModelPair) -> int:
    """Number of candidate sites; a kind without a layer stands for every layer.

    `sites`: sites as requested; none stands for the end of every layer.
    """
    if not sites:
        return pair.n_layers
    return sum(1 if "." in site else pair.n_layers for site in sites)


def site_cuts(spec: GradedSpec, strengths: Sequence[float], n_layers: int) -> list[Cut]:
    """Fewer strengths and sites, each kept ones spread evenly."""
    cuts = []
    kinds = {parse_site(f"{s}.0" if "." not in s else s).kind for s in spec.sites}
    several = not spec.sites or (len(kinds) == 1 and all("." not in s for s in spec.sites))
    kind = next(iter(kinds), "resid_post")

    def spread(n: int) -> Cut:
        kept = sorted({round((i + 0.5) * n_layers / n - 0.5) for i in range(n)})
        return Cut(
            options={"sites": tuple(f"{kind}.{layer}" for layer in kept)},
            what=f"{len(kept)} of {n_layers} layers were candidates",
        )

    def fewer(n: int) -> Cut:
        at = [round((i + 0.5) * len(strengths) / n - 0.5) for i in range(n)]
        kept = tuple(strengths[i] for i in sorted(set(at)))
        return Cut(
            options={"strengths": kept},
            what=f"{len(kept)} of {len(strengths)} strengths were tried",
        )

    sizes = [n for n in (8, 4, 2, 1) if n < n_layers] if several else []
    doses = [n for n in (4, 3, 2) if n < len(strengths)]
    if sizes:
        cuts.append(spread(sizes.pop(0)))
    if doses:
        cuts.append(fewer(doses.pop(0)))
    while sizes or doses:
        if sizes:
            cuts.append(spread(sizes.pop(0)))
        if doses:
            cuts.append(fewer(doses.pop(0)))
    return cuts
