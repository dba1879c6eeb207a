"""Speed of reading features, steering, dose curves, sums over tokens and probes.

    python scripts/bench/features.py --json FILE
    python scripts/bench/features.py --only reason,encode --repeats 1      (some of it)

One run, one machine, one thread, a model of GPT-2-small's shape and SAEs of 16,384 features, all
with random weights. Contenders take turns and medians of CPU time are kept; what is slow by far is
timed on a part and scaled, and its row says so. Thresholds of SAEs are set so that 64 features of a
token are active, as in trained ones. A row is `name, value, unit, goal, ok`; rows without a goal
are there to be read.
"""

import argparse
import json
import os
import random
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from elicit.stats import Inference

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TQDM_DISABLE", "1")

import torch
from jaxtyping import Float, Int
from patching import Row, race, row, timed, write_model
from torch import Tensor

from elicit.capture import cross_moments, moments
from elicit.edits import Edit, Steer, edited, everywhere, generated
from elicit.features import (
    REASONING_WORDS,
    Sae,
    TokenGroups,
    clamp,
    from_sae_lens,
    latent_scaling,
    load_sae,
    reason_scores,
)
from elicit.features._reading import rows_of
from elicit.pair import ModelPair, load_pair
from elicit.representations import Labelled, fit_probe, similarity
from elicit.rollouts import Generation, dose_rollouts, rollouts
from elicit.sites import resid_post, resid_pre
from elicit.tasks import Problem, Task

PARTS = ("reason", "scaling", "encode", "moments", "similarity", "probes", "steering", "doses")
CPU = torch.device("cpu")
LAYER = 5
"""Whose end the SAEs read: the middle of twelve."""
D_SAE, L0 = 16_384, 64
REFERENCE_BATCH = 48
"""Features that Galichin et al.'s `compute_score.py` keeps of one pass."""
N_POS = 128
N_WRITERS, N_NEW = 16, 24
N_EXAMPLES, PENALTY = 600, 0.1


class _Stop(Exception):
    """Ends a plain forward at the layer that is read."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What everyone is given."""

    folder: Path
    pair: ModelPair
    plain: Any
    """The model as Hugging Face loads it, with fused attention."""
    rows: list[list[int]]
    repeats: int

    @property
    def ids(self) -> Int[Tensor, "batch pos"]:
        """The texts."""
        return torch.tensor(self.rows)

    @property
    def n_tokens(self) -> int:
        """Tokens in all texts."""
        return self.ids.numel()

    @property
    def n_layers(self) -> int:
        """Blocks."""
        return self.pair.n_layers

    @torch.no_grad()
    def forward(self, last: int | None = None) -> Tensor:
        """A plain forward without unembedding, up to the end of a layer; None runs all layers."""
        found: list[Tensor] = []

        def stop(_module: object, _given: object, out: object) -> None:
            found.append(out[0] if isinstance(out, tuple) else out)  # pyright: ignore
            raise _Stop

        inner = self.plain.transformer
        if last is None:
            return inner(self.ids, use_cache=False).last_hidden_state
        handle = inner.h[last].register_forward_hook(stop)
        try:
            inner(self.ids, use_cache=False)
        except _Stop:
            pass
        finally:
            handle.remove()
        return found[0]

    @cached_property
    def x(self) -> Float[Tensor, "token d_model"]:
        """What the SAEs read, of all tokens."""
        return self.forward(LAYER).flatten(0, 1)

    def flops(self, n_layers: int) -> float:
        """Multiplications and additions of matrix products of so many layers, all tokens."""
        config, n_pos = self.plain.config, len(self.rows[0])
        # A causal token sees half of the others.
        layer = 24 * config.n_embd**2 + 4 * config.n_embd * (n_pos + 1) / 2
        return n_layers * layer * self.n_tokens

    @property
    def groups(self) -> TokenGroups:
        """A token for each of the ten words, all of which stand in the texts."""
        names = tuple(REASONING_WORDS)
        return TokenGroups(
            names, tuple(((self.rows[i % len(self.rows)][7 * i + 3],),) for i in range(len(names)))
        )


# ---------------------------------------------------------------- SAEs


def theirs(sae: Sae) -> Any:
    """SAELens's own object."""
    return sae.module


def sae_of(setting: Setting, architecture: str) -> Sae:
    """A random SAE of SAELens of which 64 features are active at a token."""
    from sae_lens import SAE

    torch.manual_seed(0)
    d_in = setting.pair.d_model
    hook = f"blocks.{LAYER}.hook_resid_post"
    config = {
        "architecture": architecture, "d_in": d_in, "d_sae": D_SAE,
        "metadata": {"hook_name": hook, "model_name": "random"},
        **({"k": L0} if architecture == "topk" else {}),
    }  # fmt: skip
    module: Any = SAE.from_dict(config)
    with torch.no_grad():
        module.W_enc.copy_(torch.randn(d_in, D_SAE) / d_in**0.5)
        module.W_dec.copy_(module.W_enc.T)
        if architecture == "jumprelu":
            module.threshold.copy_(_threshold(setting, module))
    return from_sae_lens(module, name=architecture)


def _threshold(setting: Setting, module: Any) -> Float[Tensor, " d_sae"]:
    """Above which each feature is active at one token in 256."""
    hidden = setting.x[: min(setting.n_tokens, 1024)] @ module.W_enc
    return hidden.quantile(1 - L0 / D_SAE, dim=0).clamp(min=1e-3)


def batch_topk(setting: Setting, folder: Path) -> Sae:
    """A BatchTopK SAE as SAELens saves it after training: JumpReLU with one threshold."""
    from sae_lens.saes.batchtopk_sae import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig

    torch.manual_seed(0)
    d_in = setting.pair.d_model
    trained = BatchTopKTrainingSAE(BatchTopKTrainingSAEConfig(d_in=d_in, d_sae=D_SAE, k=L0))
    trained.cfg.metadata.hook_name = f"blocks.{LAYER}.hook_resid_post"
    trained.W_enc.data.copy_(torch.randn(d_in, D_SAE) / d_in**0.5)
    # It ranks activations in units of the decoder's norm.
    hidden = setting.x[:256] @ trained.W_enc.detach() * trained.W_dec.detach().norm(dim=-1)
    trained.topk_threshold += hidden.flatten().topk(256 * L0).values[-1].double()
    trained.save_inference_model(folder / "batchtopk")
    return load_sae(folder / "batchtopk")


# ---------------------------------------------------------------- ReasonScore


def reason(setting: Setting) -> Iterator[Row]:
    """All features in one pass, over a forward to the site and the products of the encoder."""
    topk, jump = sae_of(setting, "topk"), sae_of(setting, "jumprelu")
    dense = sae_of(setting, "standard")
    held: dict[str, Any] = {}

    def ours(sae: Sae) -> Callable[[], None]:
        def work() -> None:
            held[sae.architecture] = reason_scores(
                setting.pair, sae, setting.rows, setting.groups, model="base"
            )

        return work

    weight = topk.module.get_parameter("W_enc").detach()

    def plain() -> None:
        held["plain"] = plain_means(setting, jump)

    works: dict[str, Callable[[], object]] = {
        "forward": lambda: setting.forward(LAYER),
        "whole": setting.forward,
        "products": lambda: [part @ weight for part in setting.x.split(256)],
        "topk": ours(topk),
        "jumprelu": ours(jump),
        "standard": ours(dense),
        "plain": plain,
        "reference": lambda: reference_batch(setting, jump),
    }
    cpu = raced(setting, works)
    floor = cpu["forward"] + cpu["products"]
    n = setting.n_tokens
    label = f"plain forward to the end of layer {LAYER}, no unembedding"
    yield row(label, cpu["forward"], "s")
    yield row("plain forward through all layers, no unembedding", cpu["whole"], "s")
    yield row(f"x @ W_enc of {n} tokens, {D_SAE} features", cpu["products"], "s")
    needed = setting.flops(LAYER + 1) + 2.0 * n * weight.numel()
    sums = 2.0 * n * D_SAE * (len(setting.groups.group) + 2)
    yield row("floating-point operations of the forward", setting.flops(LAYER + 1) / 1e9, "GFLOP")
    yield row("floating-point operations of x @ W_enc", 2.0 * n * weight.numel() / 1e9, "GFLOP")
    yield row("floating-point operations of the sums over groups, float64", sums / 1e9, "GFLOP")
    yield row("all of them over what is needed", (needed + sums) / needed, "x")
    yield row("feature activations, all tokens", 4.0 * n * D_SAE / 2**20, "MiB")
    yield row("feature activations held at once", 4.0 * 2**22 / 2**20, "MiB")
    for name in ("topk", "jumprelu", "standard"):
        active = held[name].inside.count_nonzero().item()
        yield row(f"reason_scores, {name}", cpu[name], "s")
        yield row(f"features active near some word, {name}", active, "1")
        yield row(f"reason_scores over forward and products, {name}", cpu[name] / floor, "x",
                  "<= 1.3")  # fmt: skip
    yield row("plain dense way, jumprelu: all activations held, float32 means", cpu["plain"], "s")
    yield row("plain dense way over reason_scores", cpu["plain"] / cpu["jumprelu"], "x")
    n_batches = -(-D_SAE // REFERENCE_BATCH)
    reference = cpu["reference"] * n_batches
    yield row(f"reference way, one batch of {REFERENCE_BATCH} features", cpu["reference"], "s")
    yield row(f"reference way, {n_batches} batches (one timed, scaled)", reference, "s")
    yield row("reference way over reason_scores (scaled)", reference / cpu["jumprelu"], "x")
    gap = (held["jumprelu"].mean - held["plain"].T).abs().max() / held["plain"].abs().max()
    yield row("largest difference of a group's mean from the plain way, of the largest mean",
              gap.item(), "1", "<= 1e-5")  # fmt: skip


@torch.no_grad()
def plain_means(setting: Setting, sae: Sae) -> Float[Tensor, "group feature"]:
    """Means near each word from all activations at once, as one would write it."""
    acts = theirs(sae).encode(setting.forward(LAYER).flatten(0, 1))
    tokens = rows_of(setting.pair, setting.rows)
    near = setting.groups.windows(tokens, left=1, right=2)
    means = torch.stack([acts[mask].mean(0) for mask in near])
    outside = acts[tokens.counted & ~near.any(0)].mean(0)
    assert outside.isfinite().all()
    return means


@torch.no_grad()
def reference_batch(setting: Setting, sae: Sae) -> Tensor:
    """One pass of the reference way: the model, the whole encoder, 48 features kept."""
    acts = theirs(sae).encode(setting.forward(LAYER).flatten(0, 1))[:, :REFERENCE_BATCH]
    tokens = rows_of(setting.pair, setting.rows)
    near = setting.groups.windows(tokens, left=1, right=2)
    return torch.stack([acts[mask].mean(0) for mask in near])


def raced(
    setting: Setting,
    works: dict[str, Callable[[], object]],
    *,
    share: float = 1,
    warm: bool = True,
) -> dict[str, float]:
    """Median CPU seconds of each, in turns.

    Args:
        setting: Tells the number of rounds.
        works: What is timed.
        share: Of these rounds: more where a round is short, fewer where it is long.
        warm: Whether all run once before.
    """
    for work in works.values() if warm else ():
        work()
    took = race(
        {name: lambda work=work: timed(work, CPU) for name, work in works.items()},
        max(1, round(setting.repeats * share)),
    )
    return {name: each.cpu for name, each in took.items()}


# ---------------------------------------------------------------- latent scaling, encoders


def scaling(setting: Setting) -> Iterator[Row]:
    """Latent scaling in one pass, over the forwards, encoders and decoders that it needs."""
    sae = sae_of(setting, "topk")

    @torch.no_grad()
    def needed() -> None:
        for _ in range(2):
            setting.forward(LAYER)
            for part in setting.x.split(256):
                theirs(sae).decode(theirs(sae).encode(part))

    @torch.no_grad()
    def projected() -> None:
        # A sixteenth of the tokens, of which every target is projected on every direction.
        directions, some = sae.directions.double(), setting.x[: setting.n_tokens // 16].double()
        for _ in range(6):
            _ = some @ directions.T

    works: dict[str, Callable[[], object]] = {
        "ours": lambda: latent_scaling(setting.pair, sae, setting.rows, model="post"),
        "needed": needed,
        "projected": projected,
    }
    cpu = raced(setting, works)
    yield row("latent_scaling of all features, topk", cpu["ours"], "s")
    yield row(f"two forwards to layer {LAYER}, two encodes, two dense decodes", cpu["needed"], "s")
    yield row("latent_scaling over these", cpu["ours"] / cpu["needed"], "x", "<= 1.3")
    yield row("six dense projections on all directions (a sixteenth timed, scaled)",
              16 * cpu["projected"], "s")  # fmt: skip


def encode(setting: Setting) -> Iterator[Row]:
    """`Sae.encode` beside SAELens's own on the same activations."""
    made = [
        sae_of(setting, "topk"),
        sae_of(setting, "jumprelu"),
        batch_topk(setting, setting.folder),
    ]
    for name, sae in zip(("topk", "jumprelu", "batchtopk"), made, strict=True):
        x, parts = setting.x, setting.x.split(256)
        weight = sae.module.get_parameter("W_enc").detach()

        @torch.no_grad()
        def ours(sae: Sae = sae, parts: tuple[Tensor, ...] = parts) -> object:
            return [sae.encode(part) for part in parts]

        @torch.no_grad()
        def saelens(sae: Sae = sae, parts: tuple[Tensor, ...] = parts) -> object:
            return [theirs(sae).encode(part) for part in parts]

        @torch.no_grad()
        def whole(sae: Sae = sae, x: Tensor = x) -> object:
            return theirs(sae).encode(x)

        def products(weight: Tensor = weight, parts: tuple[Tensor, ...] = parts) -> object:
            return [part @ weight for part in parts]

        works = {"ours": ours, "theirs": saelens, "whole": whole, "products": products}
        cpu = raced(setting, works, share=2)
        with torch.no_grad():
            acts, other = sae.encode(x), theirs(sae).encode(x)
        n_active = (acts != 0).sum(1).double().mean().item()
        yield row(f"encode, {name}: active features a token", n_active, "1")
        yield row(f"encode, {name}, over SAELens's", cpu["ours"] / cpu["theirs"], "x", "<= 1.05")
        yield row(f"encode, {name}, over SAELens's on all tokens at once",
                  cpu["ours"] / cpu["whole"], "x")  # fmt: skip
        yield row(f"encode, {name}, over x @ W_enc", cpu["ours"] / cpu["products"], "x")
        yield row(f"encode, {name}: largest difference from SAELens's",
                  (acts - other).abs().max().item(), "1", "<= 1e-5")  # fmt: skip


# ---------------------------------------------------------------- sums over tokens


def sums(setting: Setting) -> Iterator[Row]:
    """Means and covariances, over a plain forward through all layers without unembedding."""
    pair, rows, n = setting.pair, setting.rows, setting.n_tokens
    every = [resid_pre(0), *(resid_post(layer) for layer in range(setting.n_layers))]
    wide = torch.randn(n, pair.d_model, dtype=torch.float64)

    def cross() -> object:
        # An embedding's shift apart, so that no product is spared because both models are one.
        return cross_moments(
            pair.side("base"), pair.side("base"), rows, sites=every[:-1], post_sites=every[1:]
        )

    works: dict[str, Callable[[], object]] = {
        "forward": setting.forward,
        "all": lambda: moments(pair.side("base"), rows, sites=every),
        "one": lambda: moments(pair.side("base"), rows, sites=every[-1:]),
        "cross": cross,
        "product": lambda: wide.T @ wide,
    }
    cpu = raced(setting, works)
    forward, product = setting.flops(setting.n_layers), 2.0 * n * pair.d_model**2
    yield row("plain forward through all layers, no unembedding", cpu["forward"], "s")
    yield row("floating-point operations of the forward", forward / 1e9, "GFLOP")
    yield row("floating-point operations of one X'X, float64", product / 1e9, "GFLOP")
    yield row("one X'X, float64", cpu["product"], "s")
    triangles = 0.5 * len(every) * cpu["product"]
    yield row(f"floor: forward and the triangles of {len(every)} X'X, over the forward",
              1 + triangles / cpu["forward"], "x")  # fmt: skip
    yield row("moments at one site over the forward", cpu["one"] / cpu["forward"], "x", "<= 1.15")
    yield row(f"moments at {len(every)} sites over the forward", cpu["all"] / cpu["forward"], "x",
              "<= 1.15")  # fmt: skip
    pairs = len(every) - 1
    floor = 1 + 2 * pairs * cpu["product"] / cpu["forward"]
    label = f"floor: forward, X'X, Y'Y and X'Y of {pairs} pairs of sites, over the forward"
    yield row(label, floor, "x")
    yield row(f"cross_moments of {pairs} pairs of sites over the forward",
              cpu["cross"] / cpu["forward"], "x")  # fmt: skip


def alike(setting: Setting) -> Iterator[Row]:
    """CKA, Procrustes and distances of both models, with controls and intervals."""
    pair, rows = setting.pair, setting.rows
    sites = [resid_post(LAYER), resid_post(setting.n_layers - 1)]

    def direct() -> object:
        # Linear CKA and orthogonal Procrustes as one would write them; no interval, no control.
        found = []
        for last in (LAYER, setting.n_layers - 1):
            x, y = (setting.forward(last).flatten(0, 1).double() for _ in range(2))
            x, y = x - x.mean(0), y - y.mean(0)
            cka = (x.T @ y).square().sum() / ((x.T @ x).norm() * (y.T @ y).norm())
            found.append((cka, torch.linalg.svdvals(x.T @ y).sum()))
        return found

    works: dict[str, Callable[[], object]] = {
        "forward": setting.forward,
        "ours": lambda: similarity(
            pair, rows, sites=sites, n_draws=1, inference=Inference(n_resamples=200)
        ),
        "direct": direct,
    }
    cpu = raced(setting, works, share=1 / 3)
    yield row("similarity at two sites, one control, 200 resamples", cpu["ours"], "s")
    yield row("the same over two plain forwards", cpu["ours"] / (2 * cpu["forward"]), "x")
    yield row("CKA and Procrustes written out, no control, no interval", cpu["direct"], "s")
    yield row("similarity over that", cpu["ours"] / cpu["direct"], "x")


def probes(setting: Setting) -> Iterator[Row]:
    """Probes of all layers in one solve, beside scikit-learn layer by layer."""
    from sklearn.linear_model import LogisticRegression

    generator = torch.Generator().manual_seed(0)
    n_sites, d = setting.n_layers + 1, setting.pair.d_model
    x = torch.randn(n_sites, N_EXAMPLES, d, generator=generator)
    weight = torch.randn(d, generator=generator)
    noise = torch.randn(N_EXAMPLES, generator=generator) * d**0.5
    target = ((x[0] @ weight + noise) > 0).long()
    x = x + 0.1 * (2 * target[None, :, None] - 1)
    labelled = Labelled.from_examples(
        [([5, 6], -1, int(y), str(i)) for i, y in enumerate(target.tolist())]
    )
    names = [f"resid_post.{i}" for i in range(n_sites)]
    held: dict[str, Any] = {}

    def ours() -> None:
        held["ours"] = fit_probe(x, labelled, sites=names, l2=PENALTY)

    normed = [(x[site] - x[site].mean(0)).double() for site in range(n_sites)]
    normed = [(each / each.square().mean().sqrt()).numpy() for each in normed]

    def sklearn(tolerance: float) -> Callable[[], None]:
        def work() -> None:
            held["theirs"] = [
                LogisticRegression(
                    C=1 / (N_EXAMPLES * PENALTY), tol=tolerance, max_iter=10_000
                ).fit(each, target.numpy())
                for each in normed
            ]

        return work

    cpu = raced(setting, {"ours": ours, "usual": sklearn(1e-4), "exact": sklearn(1e-8)})
    sklearn(1e-8)()
    coefficients = torch.tensor([fit.coef_[0] for fit in held["theirs"]])
    gap = (held["ours"].weight[:, :, 1] - coefficients).abs().max().item()
    label = f"{n_sites} layers, {N_EXAMPLES} examples, {d} dimensions"
    yield row(f"fit_probe: {label}", cpu["ours"], "s")
    yield row("scikit-learn layer by layer, tol 1e-8", cpu["exact"], "s")
    yield row("scikit-learn over fit_probe, tol 1e-8", cpu["exact"] / cpu["ours"], "x", ">= 1")
    yield row("scikit-learn over fit_probe, its usual tol 1e-4", cpu["usual"] / cpu["ours"], "x")
    yield row("largest difference of a weight from scikit-learn's", gap, "1", "<= 1e-4")


# ---------------------------------------------------------------- text under edits


def task_of(n: int) -> Task:
    """Prompts of 24 made-up words; no text ends before its longest."""
    draw = random.Random(0)
    return Task(
        name="words",
        problems=tuple(
            Problem(
                id=str(i), answer="w1",
                prompt=" ".join(f"w{draw.randrange(60)}" for _ in range(24)),
            )
            for i in range(n)
        ),
    )  # fmt: skip


def steering(setting: Setting) -> Iterator[Row]:
    """Text under a steering vector and under a clamped feature, over text without."""
    pair, task = setting.pair, task_of(N_WRITERS)
    draw = torch.Generator().manual_seed(0)
    vector = torch.randn(pair.d_model, generator=draw)
    site = resid_post(LAYER)
    jump, topk = sae_of(setting, "jumprelu"), sae_of(setting, "topk")

    def write(*edits: Edit) -> Callable[[], object]:
        def plain() -> object:
            return rollouts(
                pair.side("base"), task,
                generation=Generation(
                    stop_ids=(), temperature=1.0, max_new_tokens=N_NEW, batch_size=N_WRITERS
                ),
            )  # fmt: skip

        def under() -> object:
            with edited(pair.base, list(edits)):
                return plain()

        return under if edits else plain

    works = {
        "without edits": write(),
        "steered at all positions": write(Steer(site, vector, where=everywhere())),
        "steered at generated positions": write(Steer(site, vector, where=generated())),
        "a jumprelu feature clamped": write(clamp(jump, 7, 5.0)),
        "a topk feature clamped": write(clamp(topk, 7, 5.0)),
    }
    cpu = raced(setting, works)
    yield row(f"{N_NEW} new tokens of {N_WRITERS} rows, without edits", cpu["without edits"], "s")
    for name in list(works)[1:]:
        # TopK needs the pre-activations of all features, to know which are the largest.
        goal = "" if "topk" in name else "<= 1.05"
        yield row(f"text with {name}, over without", cpu[name] / cpu["without edits"], "x", goal)


def doses(setting: Setting) -> Iterator[Row]:
    """Ten strengths in the same batches, over one run a strength; 64 rows a batch for both."""
    pair, site = setting.pair, resid_post(LAYER)
    draw = torch.Generator().manual_seed(0)
    vector = torch.randn(pair.d_model, generator=draw)
    strengths = [i / 10 for i in range(10)]
    for n, n_new, goal in ((4, 64, ">= 3"), (16, 16, "")):
        task = task_of(n)
        options: dict[str, Any] = {
            "generation": Generation(stop_ids=(), temperature=1.0, max_new_tokens=n_new)
        }

        def at_once(task: Task = task, options: dict[str, Any] = options) -> object:
            return dose_rollouts(
                pair.side("base"), task,
                lambda scale: [Steer(site, vector, scale=scale)], strengths=strengths, **options,
            )  # fmt: skip

        def one_by_one(task: Task = task, options: dict[str, Any] = options) -> None:
            for scale in strengths:
                with edited(pair.base, [Steer(site, vector, scale=scale)]):
                    rollouts(pair.side("base"), task, **options)

        works = {"at once": at_once, "one by one": one_by_one}
        cpu = raced(setting, works, share=1 / 3, warm=False)
        label = f"{n} problems, {n_new} new tokens"
        yield row(f"10 strengths at once: {label}", cpu["at once"], "s")
        yield row(f"10 runs over that: {label}", cpu["one by one"] / cpu["at once"], "x",
                  goal)  # fmt: skip


# ---------------------------------------------------------------- all of it


WORK: dict[str, Callable[[Setting], Iterator[Row]]] = {
    "reason": reason,
    "scaling": scaling,
    "encode": encode,
    "moments": sums,
    "similarity": alike,
    "probes": probes,
    "steering": steering,
    "doses": doses,
}


def setting_of(arguments: argparse.Namespace, folder: Path) -> Setting:
    """The model and the texts."""
    import transformers as tf

    write_model(folder, tf.GPT2Config(dtype=torch.float32), 0, "cpu")
    draw = random.Random(0)
    rows = [
        [draw.randrange(100, 50_000) for _ in range(128)] for _ in range(arguments.tokens // 128)
    ]
    return Setting(
        folder=folder,
        pair=load_pair(folder, folder, allow_identical=True, check_parity=False),
        plain=tf.AutoModelForCausalLM.from_pretrained(folder).eval(),
        rows=rows,
        repeats=arguments.repeats,
    )


def main() -> None:
    """Measure, print and write the rows."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--tokens", type=int, default=1024, help="in rows of 128; at least 256")
    parser.add_argument("--repeats", type=int, default=3, help="rounds of every race")
    parser.add_argument(
        "--only", type=lambda text: text.split(","), default=list(PARTS),
        help=f"some of {','.join(PARTS)}",
    )  # fmt: skip
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.only) - set(PARTS))
    if unknown:
        parser.error(f"--only names {', '.join(unknown)}; it takes {', '.join(PARTS)}")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as root:
        setting = setting_of(arguments, Path(root) / "model")
        for name in arguments.only:
            for each in WORK[name](setting):
                mark = "    " if each["ok"] is None else "ok  " if each["ok"] else "MISS"
                sys.stdout.write(
                    f"{mark} {each['name']}: {each['value']} {each['unit']} {each['goal']}\n"
                )
                sys.stdout.flush()
                rows.append(each)
    sys.stdout.write(f"torch {torch.__version__}, {torch.get_num_threads()} thread, float32\n")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
