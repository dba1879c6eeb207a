"""Patchscope: next tokens when a vector replaces the last token of an identity prompt."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from elicit.directions.errors import DirectionError
from elicit.directions.shift import ActivationShift
from elicit.edits import Patch, edited, last
from elicit.pair import ModelPair, device_of
from elicit.results import Result
from elicit.runs import Execution
from elicit.sites import Site, parse_site

Which = Literal["base", "post"]
IDENTITY = "cat -> cat\n1135 -> 1135\nhello -> hello\n?"
"""Few-shot identity prompt; the vector replaces the activation at its last token."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Patchscope(Result):
    """Next-token probabilities after an identity prompt with a shift in place of its last token.

    At large scales any vector promotes some token, so a token counts only where neither random
    vectors of equal norm nor the prompt alone make it probable.
    """

    model: str
    """Model that reads."""
    prompt: str
    """The identity prompt."""
    site: tuple[str, ...]
    """Where the shift was measured and is patched in."""
    pos: Int[Tensor, " pos"]
    """Text position whose mean shift is patched in."""
    scale: Float[Tensor, " scale"]
    """Norm of the patched vector, in units of the base's mean activation norm there."""
    token: Int[Tensor, "site pos scale rank"]
    """Most probable next token ids, most probable first."""
    word: tuple[tuple[tuple[tuple[str, ...], ...], ...], ...]
    """Their texts, by site, position, scale and rank."""
    prob: Float[Tensor, "site pos scale rank"]
    """Probability of each."""
    control: Float[Tensor, "site pos scale rank"]
    """Control: probability of the same token under random vectors of equal norm, mean of draws."""
    control_high: Float[Tensor, "site pos scale rank"]
    """Largest among the draws."""
    plain: Float[Tensor, "site pos scale rank"]
    """Control: probability of the same token after the unpatched prompt."""
    lens_word: tuple[tuple[tuple[str, ...], ...], ...]
    """Top logit-lens tokens of the same shift, by site, position and rank."""
    n_random: int
    """Random vectors per site, position and scale."""


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """How vectors are patched into the prompt and read out."""

    prompt: str = IDENTITY
    """Identity prompt, ending in the token that is replaced."""
    scales: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0)
    """Norms of the patched vector, in units of the base's mean activation norm, above 0."""
    top: int | None = None
    """Token ids kept; None: as many as the logit lens read, the maximum."""


def patchscope(
    pair: ModelPair,
    shift: ActivationShift,
    *,
    inspection: Inspection = Inspection(),
    sites: Sequence[Site] | None = None,
    model: Which = "base",
    n_random: int = 8,
    seed: int = 0,
    execution: Execution = Execution(),
) -> Patchscope:
    """Next tokens after an identity prompt whose last token is replaced by each shift.

    Args:
        pair: The two models.
        shift: Mean shifts between them.
        inspection: The prompt, the norms of the patched shift, and the ids kept.
        sites: Sites of the shift; None: all with a nonzero shift.
        model: Which model reads the prompt, `base` or `post`.
        n_random: Random vectors of equal norm, at least 1.
        seed: Of the random vectors.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        DirectionError: The shift is of another base, the prompt has unknown words, a site was
            not read or has no shift, or an option is out of range.

    Source: Ghandeharioun et al. 2024, arXiv:2401.06102 (Patchscopes); Minder et al. 2025,
        arXiv:2510.13900, for shifts rescaled to the activation norm and read at several
        scales. The random vectors are ours; scales are not searched but all reported.
    """
    prompt, scales = inspection.prompt, inspection.scales
    top = shift.token.shape[-1] if inspection.top is None else inspection.top
    row, indices = _checked(pair, shift, prompt, sites, scales, model, top, n_random)
    host: nn.Module = pair.base if model == "base" else pair.post
    with torch.no_grad():
        alone = _next(host, torch.tensor([row]), pair.d_vocab)[0]
    told = {"token": [], "prob": [], "control": [], "control_high": [], "plain": []}
    watch = execution.progress
    n_pos, wide = len(shift.pos), torch.tensor(scales, dtype=torch.float64)
    watch.start(len(indices) * n_pos * len(scales) * (1 + n_random), "reading shifts")
    for index in indices:
        vectors = _vectors(shift, index, wide, n_random=n_random, seed=seed)
        site = parse_site(shift.site[index])
        probs = _read(host, row, site, vectors.flatten(0, 2), pair.d_vocab, execution)
        probs = probs.unflatten(0, vectors.shape[:3])
        best = probs[:, :, 0].topk(top, dim=-1)
        others = probs[:, :, 1:].gather(-1, best.indices[:, :, None].expand(-1, -1, n_random, -1))
        told["token"].append(best.indices)
        told["prob"].append(best.values)
        told["control"].append(others.mean(dim=2))
        told["control_high"].append(others.amax(dim=2))
        told["plain"].append(alone[best.indices])
    watch.stop()
    result = {name: torch.stack(values) for name, values in told.items()}
    decode = pair.alignment.decode
    return Patchscope(
        provenance=pair.provenance(
            seed,
            {
                "question": "patchscope",
                "prompt": prompt,
                "sites": [shift.site[index] for index in indices],
                "scales": list(scales),
                "model": model,
                "top": top,
                "n_random": n_random,
            },
        ),
        model=pair.base_name if model == "base" else pair.post_name,
        prompt=prompt,
        site=tuple(shift.site[index] for index in indices),
        pos=shift.pos,
        scale=wide,
        word=tuple(
            tuple(tuple(tuple(decode([i]) for i in ids) for ids in line) for line in site)
            for site in result["token"].tolist()
        ),
        lens_word=tuple(tuple(ids[:top] for ids in shift.word[index]) for index in indices),
        n_random=n_random,
        **result,  # pyright: ignore[reportArgumentType]
    )


def _checked(
    pair: ModelPair,
    shift: ActivationShift,
    prompt: str,
    sites: Sequence[Site] | None,
    scales: Sequence[float],
    model: Which,
    top: int,
    n_random: int,
) -> tuple[tuple[int, ...], list[int]]:
    """Token ids of the prompt and indices of the sites, after validation."""
    if shift.base_digest != pair.base_digest:
        raise DirectionError(
            f"the shift is of {shift.base} and the pair's base is {pair.base_name} with other "
            "weights, so the shift does not apply to it. Measure the shift of this pair."
        )
    if model not in get_args(Which):
        raise DirectionError(f"model is {model!r}, and it is 'base' or 'post'.")
    most = shift.token.shape[-1]
    if n_random < 1 or not 1 <= top <= most:
        raise DirectionError(
            f"top is {top} and n_random {n_random}, but the logit lens read {most} ids and a token "
            f"is only reported beside random vectors. Pass 1 to {most}, and 1 or more."
        )
    if not scales or not all(0 < scale < float("inf") for scale in scales):
        raise DirectionError(
            f"scales are {list(scales)}, but a scale is a norm in units of the model's mean "
            "activation norm, finite and above 0. Pass for example (0.5, 1, 2, 4)."
        )
    row = tuple(pair.alignment.plain(prompt))
    unknown = pair.alignment.tokenizer.unk_token_id
    if len(row) < 2 or (unknown is not None and unknown in row):
        raise DirectionError(
            f"the prompt {prompt!r} has {len(row)} tokens or contains an unknown word, so it "
            "cannot be an identity prompt. Pass a prompt= of known words that repeats its inputs "
            "and ends before the next repetition."
        )
    names = None if sites is None else [str(site) for site in sites]
    still = (shift.norm == 0).any(dim=1).tolist()
    indices = [i for i, name in enumerate(shift.site) if (not still[i] if sites is None else True)]
    if names is not None:
        wrong = [n for n in names if n not in shift.site or still[shift.site.index(n)]]
        if wrong or not names:
            raise DirectionError(
                f"sites names {wrong[0] if wrong else 'nothing'}, which was not read or has no "
                f"shift; the shift covers {', '.join(shift.site)}. Pass sites where models differ."
            )
        indices = [shift.site.index(name) for name in names]
    return row, indices


def _vectors(
    shift: ActivationShift, place: int, scales: Float[Tensor, " scale"], *, n_random: int, seed: int
) -> Float[Tensor, "pos scale arm width"]:
    """The shift and random vectors, rescaled to the norm of each scale."""
    generator = torch.Generator().manual_seed(seed)
    real = shift.shift[place].double()
    shape = (len(real), n_random, real.shape[-1])
    noise = torch.randn(shape, generator=generator, dtype=torch.float64)
    arms = torch.cat([real[:, None], noise], dim=1)
    unit = arms / arms.norm(dim=-1, keepdim=True)
    length = shift.resid_norm[place].double()[:, None] * scales
    return unit[:, None] * length[:, :, None, None]


def _read(
    model: nn.Module,
    row: Sequence[int],
    site: Site,
    vectors: Float[Tensor, "vector width"],
    d_vocab: int,
    execution: Execution,
) -> Float[Tensor, "vector d_vocab"]:
    """Next-token probabilities with each vector in place of the prompt's last token."""
    result = []
    for subset in vectors.split(max(1, execution.max_tokens // len(row))):
        tokens = torch.tensor([row]).expand(len(subset), -1)
        with torch.no_grad(), edited(model, [Patch(site, donor=subset.float(), where=last())]):
            result.append(_next(model, tokens, d_vocab))
        execution.progress.advance(len(subset))
    return torch.cat(result)


def _next(
    model: nn.Module, tokens: Int[Tensor, "row pos"], d_vocab: int
) -> Float[Tensor, "row d_vocab"]:
    """Probabilities of the next token."""
    device = device_of(model)
    logits: Tensor = model(tokens.to(device))
    return logits[:, -1, :d_vocab].double().softmax(dim=-1).cpu()
