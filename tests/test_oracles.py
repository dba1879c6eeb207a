"""Instruments agree with plain Hugging Face models, numpy and scikit-learn, written out here."""

import math
from itertools import combinations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from torch.nn import functional

from elicit.directions import PromptPairs, diff_mean, paired_pca
from elicit.patching import Contrast, attribute_edges, patch, within
from elicit.representations import Labelled, online_code, stitch
from elicit.representations.mdl import PRIORS, _blocks
from elicit.sites import Site, resid_post, z
from elicit.stats import Inference
from tests.capture import oracle
from tests.checkpoints import WORDS

FEW = Inference(n_resamples=100)
SITE = resid_post(1)


@pytest.fixture(scope="module")
def plain():
    """The two models behind `paired("llama")`, never wrapped."""
    return tuple(oracle.plain("llama", seed) for seed in (1, 2))


def given(ids):
    ids = torch.tensor([list(ids)])
    return ids, torch.ones_like(ids), torch.arange(ids.shape[1])[None]


def read(model, ids, site):
    """An activation of the plain model, [pos ...], float64."""
    return oracle.run(model, "llama", *given(ids), read=[site.whole])[1][site.whole][0].double()


def rows(n, length, seed):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(4, 60, (length,), generator=generator).tolist() for _ in range(n)]


# ---- directions ----

TEXTS = [" ".join(WORDS[i : i + 3 + i % 4]) for i in range(12)]
PAIRS = PromptPairs(
    positive=[f"{WORDS[20]} {text} {WORDS[0]}" for text in TEXTS],
    negative=[f"{WORDS[21]} {text} {WORDS[0]}" for text in TEXTS],
    problem=["a", "b", "c", "d"] * 3,
)


@pytest.mark.parametrize("site", [SITE, z(1, 2)], ids=str)
def test_diff_mean_and_paired_pca_are_those_of_plain_activations(paired, plain, site):
    pair = paired("llama")

    def end(text):
        value = read(plain[0], pair.alignment.plain(text), site)[-1]
        return value if site.head is None else value[site.head]

    sides = zip(PAIRS.positive, PAIRS.negative, strict=True)
    every = np.stack([(end(p) - end(n)).numpy() for p, n in sides])
    for function, expected in (
        (diff_mean, lambda d: d.mean(0)),
        # The mean projected on the leading eigenvector of the second moment.
        (paired_pca, lambda d: (v := np.linalg.eigh(d.T @ d)[1][:, -1]) * (d.mean(0) @ v)),
    ):
        result = function(pair.side("base"), PAIRS, sites=[site], held_out=0.5, inference=FEW)
        # Two of the four problems are held out; which, is the split's own matter.
        halves = [[i for i in range(12) if i % 4 in two] for two in combinations(range(4), 2)]
        candidates = [expected(every[half]) for half in halves]
        off = min(np.abs(one - result.vector[0].numpy()).max() for one in candidates)
        assert off < 1e-5


# ---- patching ----

CLEAN, CORRUPTED = rows(2, 6, 0), rows(2, 6, 1)
CONTRAST = Contrast(
    clean=tuple(map(tuple, CLEAN)),
    corrupted=tuple(map(tuple, CORRUPTED)),
    answer=((7,), (9,)),
    wrong=((8,), (11,)),
    id=("p0", "p1"),
    words=tuple(tuple(map(str, row)) for row in CLEAN),
)


def logit_diff(logits, problem):
    return logits[..., CONTRAST.answer[problem][0]] - logits[..., CONTRAST.wrong[problem][0]]


@pytest.mark.parametrize("direction", ["denoise", "noise"])
def test_a_sweep_of_queries_keys_and_values_is_a_hook_on_each_projection(paired, plain, direction):
    sites = [Site(kind, layer, 1) for kind in "qkv" for layer in (0, 2)]
    swap = within(direction, model="post", sites=sites, positions=[1, -1])
    grid = patch(paired("llama"), CONTRAST, swap, controls=(), inference=FEW)
    host, donor = (CORRUPTED, CLEAN) if direction == "denoise" else (CLEAN, CORRUPTED)
    expected = torch.zeros(len(sites), 2, 2, dtype=torch.float64)
    for problem in range(2):
        values = [read(plain[1], donor[problem], site) for site in sites]
        for i, site in enumerate(sites):
            for j, pos in enumerate((1, 5)):
                put = [(site, 0, pos, pos + 1, values[i][pos, site.head].float())]
                logits, _ = oracle.run(plain[1], "llama", *given(host[problem]), put=put)
                expected[i, j, problem] = logit_diff(logits[0, -1], problem)
    torch.testing.assert_close(grid.score[0, 0], expected.mean(-1), atol=1e-5, rtol=1e-5)


EDGES = [
    ("embed", "q.1.0"),
    ("z.0.1", "k.2.0"),
    ("mlp_out.0", "v.1.1"),
    ("z.1.2", "mlp.1"),
    ("embed", "mlp.2"),
    ("z.2.3", "logits"),
]


class Norm(torch.nn.Module):
    """Root mean square norm in the dtype of its input, where Hugging Face's is in float32."""

    def __init__(self, norm):
        super().__init__()
        self.weight, self.eps = norm.weight, norm.variance_epsilon

    def forward(self, x):
        return self.weight * x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps)


def in_float64(model):
    """The model without Hugging Face's steps in float32: its norms and its eager softmax."""
    model = model.double()
    model.set_attn_implementation("sdpa")
    for block in model.model.layers:
        block.input_layernorm = Norm(block.input_layernorm)
        block.post_attention_layernorm = Norm(block.post_attention_layernorm)
    model.model.norm = Norm(model.model.norm)
    return model


class Heard:
    """A plain model in which one receiver hears a message on top of the stream, [pos d_model]."""

    def __init__(self, model, receiver):
        self.model, self.message, self.handles = model, None, []
        kind, _, at = receiver.partition(".")
        if kind == "logits":
            self.handles = [model.model.norm.register_forward_pre_hook(self._before)]
            return
        block = model.model.layers[int(at.split(".")[0])]
        if kind == "mlp":
            self.handles = [block.post_attention_layernorm.register_forward_pre_hook(self._before)]
            return
        head = int(at.split(".")[1])
        stream, norm = {}, block.input_layernorm

        def project(module, _args, out):
            width = block.self_attn.head_dim
            moved = functional.linear(norm.forward(stream["x"] + self.message), module.weight)
            out = out.clone()
            part = slice(head * width, (head + 1) * width)
            out[..., part] = moved[..., part]
            return out

        self.handles = [
            norm.register_forward_pre_hook(lambda _m, args: stream.update(x=args[0])),
            getattr(block.self_attn, f"{kind}_proj").register_forward_hook(project),
        ]

    def _before(self, _module, args):
        return (args[0] + self.message, *args[1:])

    def __call__(self, embedded, message):
        self.message = message
        with torch.no_grad():
            return self.model(inputs_embeds=embedded, use_cache=False).logits[0, -1]

    def remove(self):
        for handle in self.handles:
            handle.remove()


def said(model, sender, ids):
    """What a sender writes to the residual stream, [pos d_model]."""
    if sender == "embed":
        return read(model, ids, Site("resid_pre", 0))
    kind, layer, *head = sender.split(".")
    value = read(model, ids, Site(kind, int(layer)))
    if kind == "mlp_out":
        return value
    out = model.model.layers[int(layer)].self_attn.o_proj.weight.double()
    width = value.shape[-1]
    index = int(head[0])
    return value[:, index] @ out[:, index * width : (index + 1) * width].T


@pytest.mark.parametrize("steps", [1, 3])
def test_integrated_edges_are_finite_differences_at_points_between_the_inputs(paired, plain, steps):
    scores = attribute_edges(paired("llama"), CONTRAST, within(), steps=steps, inference=FEW)
    exact, epsilon = in_float64(oracle.plain("llama", 1)), 1e-5
    points = [0.0] if steps == 1 else [(k + 0.5) / steps for k in range(steps)]
    for sender, receiver in EDGES:
        slopes = []
        heard = Heard(exact, receiver)
        for problem in range(2):
            start, goal = (
                exact.model.embed_tokens(torch.tensor([row[problem]])).detach()
                for row in (CORRUPTED, CLEAN)
            )
            message = said(plain[0], sender, CLEAN[problem])
            message = message - said(plain[0], sender, CORRUPTED[problem])
            for point in points:
                up, down = (
                    logit_diff(heard(torch.lerp(start, goal, point), sign * message), problem)
                    for sign in (epsilon, -epsilon)
                )
                slopes.append(((up - down) / (2 * epsilon)).item())
        heard.remove()
        ours = scores.score.value[scores.sender.index(sender), scores.receiver.index(receiver)]
        assert ours.item() == pytest.approx(np.mean(slopes), abs=1e-5, rel=1e-4)


# ---- representations ----


def test_affine_stitching_is_ridge_regression_and_plain_upper_layers(paired, plain):
    fit, test, l2 = rows(30, 9, 3), rows(4, 7, 4), 1e-2
    result = stitch(paired("llama"), fit, test, sites=[SITE], l2=l2, inference=FEW)
    column = result.map.index("affine")
    for way, (lower, upper) in enumerate((plain, plain[::-1])):
        # The first token is neither fitted nor counted and keeps the upper model's activation.
        x, y = (
            torch.cat([read(model, row, SITE)[1:] for row in fit]).numpy()
            for model in (lower, upper)
        )
        alpha = l2 * ((x - x.mean(0)) ** 2).sum() / x.shape[1]
        ridge = Ridge(alpha=alpha, solver="cholesky").fit(x, y)
        losses, missed, spread = [], 0.0, []
        for row in test:
            mapped = torch.from_numpy(ridge.predict(read(lower, row, SITE).numpy()))
            true = read(upper, row, SITE)
            missed += (mapped - true)[1:].square().sum().item()
            spread.append(true[1:])
            put = [(SITE, 0, 1, len(row), mapped[1:].float())]
            logits, _ = oracle.run(upper, "llama", *given(row), put=put)
            loss = functional.cross_entropy(logits[0, 1:-1], torch.tensor(row[2:]))
            losses.append(loss.item())
        assert result.ce[way, column, 0].item() == pytest.approx(np.mean(losses), abs=1e-5)
        whole = torch.cat(spread)
        fvu = missed / (whole - whole.mean(0)).square().sum().item()
        assert result.fvu.value[way, column, 0].item() == pytest.approx(fvu, abs=1e-5)


def test_the_online_code_is_the_loss_of_scikit_learns_probes_on_the_next_block(paired, plain):
    texts = rows(24, 5, 5)
    labelled = Labelled.from_examples(
        [(row, -1, "even" if row[1] % 2 else "odd", number) for number, row in enumerate(texts)]
    )
    result = online_code(paired("llama"), labelled, sites=[SITE], seed=1)
    order, ends = _blocks(labelled, 1)
    for model in range(2):
        x = np.stack([read(plain[model], texts[i], SITE)[-1].numpy() for i in order])
        x = x - x.mean(0)
        x = x / np.sqrt((x**2).mean())
        sent = labelled.take(order.tolist()).target.numpy()
        lengths = []
        for prior in PRIORS:
            # A bias of precision 1 is the weight of a constant input of size √prior.
            inputs = np.hstack([x, np.full((len(x), 1), math.sqrt(prior))])
            length = ends[0] * math.log(2)
            for seen, until in zip(ends, ends[1:], strict=False):
                labels = sent[:seen]
                if len(set(labels)) == 1:  # scikit-learn refuses one class: a weightless other one
                    inputs_seen = np.vstack([inputs[:seen], inputs[:1]])
                    labels, weight = np.append(labels, 1 - labels[0]), [1.0] * seen + [0.0]
                else:
                    inputs_seen, weight = inputs[:seen], [1.0] * seen
                # Newton's steps: L-BFGS stops with a warning where rounding ends its line search.
                probe = LogisticRegression(
                    C=1 / prior,
                    fit_intercept=False,
                    solver="newton-cholesky",
                    tol=1e-10,
                    max_iter=1_000,
                )
                probe.fit(inputs_seen, labels, sample_weight=weight)
                log_probs = probe.predict_log_proba(inputs[seen:until])
                length -= log_probs[np.arange(until - seen), sent[seen:until]].sum()
            lengths.append(length)
        mixed = math.log(len(PRIORS)) - np.logaddexp.reduce([-length for length in lengths])
        assert result.codelength[model, 0, 0].item() == pytest.approx(mixed, abs=1e-3)
