"""Open an engine for both models of a pair, after it was held against them on one short prompt."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Int
from torch import Tensor

from elicit.capture.read import capture
from elicit.edits import Steer, edited, everywhere, shape_of
from elicit.engines import (
    KINDS,
    Backend,
    Draws,
    Engine,
    EngineError,
    Push,
    open_interp_engine,
    pushes_of,
    serving,
)
from elicit.pair import ModelPair, Side, device_of, hugging_face_model
from elicit.sites import Kind, Site
from elicit.surroundings import guarded

FULL_TOLERANCE = 1e-5
"""Largest difference in float32, relative to the largest activation of the site."""
HALF_TOLERANCE = 0.03
"""The same in half precision."""
_LENGTH = 6


@contextmanager
def served(pair: ModelPair, *, backend: Backend = "eager", n_gpus: int = 1) -> Iterator[list[str]]:
    """A block in which interp-engine writes texts and reads activations of both models.

    Both are held against the loaded models first: every site of every layer on a short prompt, the
    next token, and a vector added half way up. What the engine cannot do exactly is done by the
    models as always; the block gives a sentence on that.

    Args:
        pair: The two models.
        backend: `eager` in this process, on the same weights; `vllm` and `vllm-static` on GPUs.
        n_gpus: GPUs over which vLLM splits each model.

    Raises:
        EngineError: The engine is not installed, or computes something else.
    """
    engines: dict[torch.nn.Module, Engine] = {}
    for side, tokenizer, name in (
        (pair.side("base"), pair.tokenizer, pair.base_name),
        (pair.side("post"), pair.post_tokenizer, pair.post_name),
    ):
        if side.bridge in engines:
            continue
        engine = open_interp_engine(side.bridge, tokenizer, name, backend=backend, n_gpus=n_gpus)
        check_engine(side, engine)
        engines[side.bridge] = engine
    name = next(iter(engines.values())).name
    with serving(engines):
        yield [
            f"{name} wrote texts and read residual streams, attention and MLP outputs. Changed "
            "weights, patches, masked attention, features, single heads, logits, lanes and "
            "gradients stayed with the models in this process."
        ]


@guarded
def check_engine(side: Side, engine: Engine) -> float:
    """Hold an engine against a model on one short prompt.

    Returns:
        Largest difference of an activation, relative to the largest of its site.

    Raises:
        EngineError: A site, the next token or a pushed activation differs by more than rounding.
    """
    bridge = side.bridge
    ids = _probe(side)
    sites = _sites(side, engine)
    native = capture(bridge, ids, sites=sites, logits=True)
    assert native.logits is not None
    worst = 0.0
    read = engine.read(ids[0].tolist(), sites, None)
    for site in sites:
        worst = max(worst, _compared(side, engine, site, native.at[site][0], read[site], ""))
    middle = Site("resid_post", shape_of(bridge).n_layers // 2)
    last = Site("resid_post", shape_of(bridge).n_layers - 1)
    if engine.refuses(middle) is None and engine.refuses(last) is None:
        vector = native.at[middle][0, -1].detach().roll(1)
        edit = Steer(middle, vector, scale=0.5, where=everywhere())
        push = pushes_of([edit], 0, _LENGTH, _LENGTH)
        with torch.no_grad(), edited(bridge, [edit]):
            pushed = capture(bridge, ids, sites=[last]).at[last][0]
        theirs = engine.read(ids[0].tolist(), [last], push)[last]
        worst = max(worst, _compared(side, engine, last, pushed, theirs, " under a vector"))
    _check_next(side, engine, ids, native.logits[0, -1])
    return worst


def _probe(side: Side) -> Int[Tensor, "one pos"]:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(side.alignment.d_vocab, (1, _LENGTH), generator=generator)
    return ids.to(device_of(hugging_face_model(side.bridge)))


def _sites(side: Side, engine: Engine) -> list[Site]:
    """Sites that both have; an engine must at least read the residual stream."""
    shape = shape_of(side.bridge)
    kinds: list[Kind] = [kind for kind in KINDS if not (shape.parallel and kind == "resid_mid")]
    sites = [Site(kind, layer) for kind in kinds for layer in range(shape.n_layers)]
    found = [site for site in sites if engine.refuses(site) is None]
    if not any(site.kind == "resid_post" for site in found):
        raise EngineError(
            f"{engine.name} cannot read the residual stream of {side.name} "
            f"({engine.refuses(Site('resid_post', 0))}), so nothing could be held against the "
            "loaded model. Pass engine='native'."
        )
    return found


def _compared(
    side: Side, engine: Engine, site: Site, ours: Tensor, theirs: Tensor, under: str
) -> float:
    if ours.shape != theirs.shape:
        raise EngineError(
            f"{site} of {side.name} is {list(ours.shape)} here and {list(theirs.shape)} in "
            f"{engine.name}, so its addresses name something else. Pass engine='native'."
        )
    ours, theirs = ours.float(), theirs.to(ours.device).float()
    off = ((ours - theirs).abs().max() / ours.abs().max().clamp(min=1.0)).item()
    full = next(side.bridge.parameters()).dtype in (torch.float32, torch.float64)
    most = FULL_TOLERANCE if full else HALF_TOLERANCE
    if not off <= most:
        norms = f"{ours.norm(dim=-1).mean():.4g} and {theirs.norm(dim=-1).mean():.4g}"
        raise EngineError(
            f"{site} of {side.name}{under} differs by {off:.3g} of its largest value between the "
            f"loaded model and {engine.name} (at most {most:g} is rounding; mean norms {norms}), "
            "so texts and activations would be another model's. Pass engine='native'."
        )
    return off


def _check_next(side: Side, engine: Engine, ids: Tensor, logits: Tensor) -> None:
    """The most probable next token is the same, unless two are as good as equal."""
    best = logits[: side.alignment.d_vocab].float().topk(2)
    (written,) = engine.write(ids[0].tolist(), Draws(max_new_tokens=1, stop_ids=()), Push(()))
    gap = (best.values[0] - best.values[1]).item()
    if written != int(best.indices[0]) and gap > HALF_TOLERANCE:
        raise EngineError(
            f"after a short prompt {side.name} writes token {int(best.indices[0])} and "
            f"{engine.name} {written}, so texts would be another model's. Pass engine='native'."
        )
