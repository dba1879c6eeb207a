"""Scores of nodes are differences times gradients, and sum or converge to what patching does."""

from dataclasses import fields

import pytest
import torch

from elicit.organisms import decision
from elicit.pair import hugging_face_model
from elicit.patching import Contrast, PatchError, across, patch, within
from elicit.patching.attribution import (
    METHODS,
    NodeScores,
    agreement,
    attribute,
)
from elicit.patching.attribution._forward import only_activations
from elicit.runs import Execution
from elicit.stats import Inference
from tests.checkpoints import FAMILIES

STREAMS = ("resid_pre", "resid_post", "z.heads")
FEW = {"inference": Inference(n_resamples=100)}


def plain_model(written, architecture):
    """The checkpoint behind `paired(architecture).base`, never wrapped in a bridge."""
    from transformers import AutoModelForCausalLM

    from elicit.pair._guards import guarded

    with guarded():
        return AutoModelForCausalLM.from_pretrained(
            written(architecture, seed=1), dtype=torch.float32, attn_implementation="eager"
        ).eval()


def plain_run(model, row, answer, wrong, metric):
    """One prompt through plain modules: metric, and activations with their graph."""
    inner = getattr(model, "transformer", None) or getattr(model, "gpt_neox", None) or model.model
    layers = getattr(inner, "h", None) or inner.layers
    seen: dict[str, torch.Tensor] = {}
    handles = []

    def keep(name, value):
        seen[name] = value[0] if isinstance(value, tuple) else value

    for n, block in enumerate(layers):
        attn = getattr(block, "attn", None) or getattr(block, "attention", None) or block.self_attn
        out = next(getattr(attn, o) for o in ("o_proj", "c_proj", "dense") if hasattr(attn, o))
        handles += [
            block.register_forward_pre_hook(
                lambda _m, a, k, n=n: keep(f"resid_pre.{n}", a[0] if a else k["hidden_states"]),
                with_kwargs=True,
            ),
            block.register_forward_hook(lambda _m, _a, o, n=n: keep(f"resid_post.{n}", o)),
            out.register_forward_pre_hook(lambda _m, a, n=n: keep(f"z.{n}", a[0])),
        ]
    try:
        logits = model(input_ids=torch.tensor([[*row, *answer[:-1]]]), use_cache=False).logits[0]
    finally:
        for handle in handles:
            handle.remove()
    if metric == "logit_diff":
        return logits[-1, answer[0]] - logits[-1, wrong[0]], seen
    spans = logits[len(row) - 1 :].log_softmax(-1)
    return spans[torch.arange(len(answer)), torch.tensor(answer)].sum(), seen


def plain_scores(model, contrast, place, metric, n_heads):
    """Attribution of one problem by hooks on plain modules and torch's autograd."""
    answer, wrong = contrast.answer[place], contrast.wrong[place]
    with torch.no_grad():
        _, donor = plain_run(model, contrast.clean[place], answer, wrong, metric)
    value, host = plain_run(model, contrast.corrupted[place], answer, wrong, metric)
    grads = torch.autograd.grad(value, list(host.values()))
    found = {}
    for (name, own), grad in zip(host.items(), grads, strict=True):
        product = ((donor[name] - own) * grad)[0].detach()
        if name.startswith("z."):
            for head, part in enumerate(product.unflatten(-1, (n_heads, -1)).sum(-1).unbind(-1)):
                found[f"{name}.{head}"] = part
        else:
            found[name] = product.sum(-1)
    return found


@pytest.mark.parametrize("architecture", FAMILIES)
def test_scores_are_what_hooks_and_autograd_of_the_plain_model_give(
    paired, written, contrast, architecture
):
    pair, plain = paired(architecture), plain_model(written, architecture)
    given = contrast(pair)
    ours = attribute(pair, given, within(sites=STREAMS), **FEW)
    assert ours.by_problem is not None
    shortest = min(len(row) for row in given.clean)
    for place in range(len(given)):
        theirs = plain_scores(plain, given, place, "logit_diff", 4)
        for row, site in enumerate(ours.site):
            expected = theirs[site][-shortest:].double()
            assert torch.allclose(ours.by_problem[place, row], expected, atol=2e-6, rtol=1e-4)


def test_scores_of_a_long_answer_are_those_of_its_whole_span(paired, written, contrast):
    pair, plain = paired("llama"), plain_model(written, "llama")
    given = contrast(pair, long_answers=True)
    ours = attribute(pair, given, within(sites=STREAMS, metrics=["log_prob"]), **FEW)
    assert ours.by_problem is not None
    shortest = min(len(row) for row in given.clean)
    for place in range(len(given)):
        theirs = plain_scores(plain, given, place, "log_prob", 4)
        n = len(given.clean[place])
        for row, site in enumerate(ours.site):
            expected = theirs[site][:n][-shortest:].double()
            assert torch.allclose(ours.by_problem[place, row], expected, atol=2e-6, rtol=1e-4)


@pytest.mark.parametrize(
    ("architecture", "metric"),
    [
        *((name, "logit_diff") for name in ("gpt2", "gpt_neox", "gemma2", "olmo2", "phi3")),
        ("gpt2", "log_prob"),
        ("olmo2", "probability"),
    ],
)
def test_scores_equal_exact_patching_where_models_hardly_differ(
    close_pair, contrast, architecture, metric
):
    pair = close_pair(architecture)
    sites = ["resid_pre", "attn_out", "mlp_out", "z.heads", "q.heads", "k.heads", "v.heads"]
    for direction in ("post_to_base", "base_to_post"):
        found = attribute(
            pair, contrast(pair), across(direction, sites=sites, metrics=[metric]), exact=10, **FEW
        )
        assert found.exact is not None
        assert found.exact.abs().max() > 0
        off = (found.score.value - found.exact).abs().max()
        assert off < 5e-3 * found.exact.abs().max()


@pytest.mark.parametrize("metric", ["logit_diff", "log_prob", "probability", "kl"])
def test_all_positions_at_once_sum_over_each(paired, contrast, metric):
    pair = paired("qwen2")
    given = contrast(pair)
    columns = {item.name: getattr(given, item.name)[:2] for item in fields(given)}
    given = Contrast(**columns)  # the first two prompts have one length
    each, whole = (
        attribute(pair, given, within(sites=STREAMS, positions=p, metrics=[metric]), **FEW)
        for p in ("each", "all")
    )
    assert torch.allclose(each.score.value.sum(1), whole.score.value[:, 0], atol=1e-6)
    assert whole.score.value.abs().max() > 0


def test_batches_change_nothing(paired, contrast):
    pair = paired("mistral")
    big = attribute(pair, contrast(pair), within(sites=STREAMS), **FEW)
    small = attribute(
        pair, contrast(pair), within(sites=STREAMS), execution=Execution(max_tokens=1), **FEW
    )
    assert torch.allclose(big.score.value, small.score.value, atol=1e-6)
    assert big.host_score == pytest.approx(small.host_score, abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["llama", "gemma3_text"])
def test_integrated_gradients_over_inputs_sum_to_the_gap_as_steps_grow(
    paired, contrast, architecture
):
    pair = paired(architecture)
    off = []
    for steps in (1, 4, 16, 64):
        found = attribute(
            pair,
            contrast(pair),
            within(sites=["resid_pre.0"], positions="all"),
            method="ig_inputs",
            steps=steps,
            **FEW,
        )
        off.append(abs(found.score.value.item() - found.gap.value))
    assert off[1] < off[0]
    assert off[2] < off[1]
    assert off[3] < max(1e-4, off[2])
    assert off[3] < 2e-3 * abs(found.gap.value)


@pytest.mark.slow
def test_integrated_gradients_of_one_site_sum_to_the_exact_effect_of_patching_it(paired, contrast):
    pair = paired("qwen3")
    sites = ["resid_mid.2", "mlp_out.1", "z.2", "k.1"]
    for long_answers, metric in ((False, "logit_diff"), (True, "log_prob")):
        given = contrast(pair, long_answers=long_answers)
        swap = within(sites=sites, positions="all", metrics=[metric])
        truth = patch(pair, given, swap, controls=(), **FEW)
        off = []
        for steps in (2, 16):
            found = attribute(
                pair,
                given,
                within(sites=sites, positions="all", metrics=[metric]),
                method="ig_activations",
                steps=steps,
                **FEW,
            )
            off.append((found.score.value - truth.effect.value[0, 0]).abs().max().item())
        assert off[1] < off[0] / 10
        assert off[1] < 2e-3


def test_a_planted_layer_is_where_scores_across_begin(organism):
    pair = organism("when-l3")
    prompts = [f"Q a = {n} ; b = a + 4 ; b ? A" for n in range(6)]
    given = Contrast.from_pairs(pair.alignment, decision(prompts))
    found = attribute(
        pair,
        given,
        across(positions="last"),
        exact=10,
        **FEW,
    )
    for site, score in zip(found.site, found.score.value[:, 0].tolist(), strict=True):
        layer = int(site.split(".")[1])
        assert (score == 0) == (layer < 3)
    assert found.agreement is not None
    assert found.agreement.spearman > 0.9


def test_identical_models_are_refused_across(organism):
    pair = organism("identity")
    given = Contrast.from_pairs(
        pair.alignment, decision(["Q a = 3 ; b = a + 4 ; b ? A", "Q a = 4 ; b = a + 4 ; b ? A"])
    )
    with pytest.raises(PatchError, match="same weights"):
        attribute(pair, given, across())


class Kept(dict):
    """A checkpoint in memory that counts what is computed."""

    n_computed = 0

    def get_or_compute(self, key, compute):
        if key not in self:
            self[key], self.n_computed = compute(), self.n_computed + 1
        return self[key]


def test_attributed_batches_are_checkpointed_under_all_that_they_depend_on(paired, contrast):
    pair, kept = paired("llama"), Kept()
    how = {"execution": Execution(checkpoint=kept, max_tokens=16), **FEW}
    swap = within(sites=["mlp_out"])
    first = attribute(pair, contrast(pair), swap, **how)
    n = kept.n_computed
    assert n > 1
    again = attribute(pair, contrast(pair), swap, **how)
    assert kept.n_computed == n and torch.equal(again.score.value, first.score.value)
    for other, how_else in (
        (within(sites=["mlp_out"], direction="noise"), {}),
        (within(sites=["mlp_out"], model="post"), {}),
        (within(sites=["attn_out"]), {}),
        (swap, {"method": "atp_star"}),
    ):
        before = kept.n_computed
        attribute(pair, contrast(pair), other, **how_else, **how)
        assert kept.n_computed == before + n


def n_hooks(model) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


@pytest.mark.parametrize("method", METHODS)
def test_parameters_and_hooks_are_left_as_they_were(paired, contrast, method):
    pair = paired("llama")
    flags = [p.requires_grad for p in pair.base.parameters()]
    pair.base.zero_grad(set_to_none=True)  # the pair is shared: another test may have left some
    hooks = n_hooks(pair.base), n_hooks(hugging_face_model(pair.base))
    attribute(pair, contrast(pair), within(sites=["q", "mlp_out"]), method=method, steps=2, **FEW)
    assert [p.requires_grad for p in pair.base.parameters()] == flags
    assert all(p.grad is None for p in pair.base.parameters())
    assert (n_hooks(pair.base), n_hooks(hugging_face_model(pair.base))) == hooks


def test_parameters_have_their_flags_back_after_an_exception(paired):
    model = paired("llama").base
    first, *others = model.parameters()
    try:
        first.requires_grad_(False)
        flags = [p.requires_grad for p in model.parameters()]
        with pytest.raises(RuntimeError, match="inside"), only_activations(model):
            assert not any(p.requires_grad for p in model.parameters())
            raise RuntimeError("inside")
        assert [p.requires_grad for p in model.parameters()] == flags
    finally:
        first.requires_grad_(others[0].requires_grad)


def test_the_result_says_how_well_it_agrees_with_the_exact_sweep(paired, contrast):
    pair = paired("gpt2")
    given, sites = contrast(pair), ["resid_pre", "mlp_out"]
    truth = patch(pair, given, within(sites=sites), controls=(), **FEW)
    found = attribute(pair, given, within(sites=sites), exact=5, **FEW)
    assert found.exact is not None
    assert torch.equal(found.exact, truth.effect.value[0, 0])
    assert found.agreement == agreement(found.score.value, truth.effect.value[0, 0], top=5)
    assert attribute(pair, given, within(sites=sites), **FEW).held_against(
        truth, top=5
    ).agreement == (found.agreement)
    with pytest.raises(PatchError, match="mlp_out"):
        attribute(pair, given, within(sites=["mlp_out"]), **FEW).held_against(truth)
    with pytest.raises(PatchError, match="direction"):
        attribute(pair, given, within("noise", sites=sites), **FEW).held_against(truth)


def test_a_sweep_across_is_the_truth_of_scores_across(paired, contrast):
    pair = paired("gpt2")
    truth = patch(pair, contrast(pair), across(sites=["mlp_out"]), controls=(), **FEW)
    found = attribute(pair, contrast(pair), across(sites=["mlp_out"]), exact=10, **FEW)
    assert found.exact is not None
    assert torch.equal(found.exact, truth.effect.value[0, 0])


def test_agreement_is_known_for_known_cells():
    truth = torch.tensor([[4.0, -3.0, 2.0], [1.0, 0.0, 0.0]])
    assert agreement(truth, truth).spearman == pytest.approx(1)
    assert agreement(truth, truth).recall == 1
    assert agreement(truth, truth).top == 4  # two cells have no effect at all
    assert agreement(-truth, truth).spearman == pytest.approx(-1)
    assert agreement(truth.abs(), truth, signed=False).spearman == pytest.approx(1)
    half = torch.tensor([[4.0, 0.0, 0.0], [0.0, 3.0, 2.0]])
    assert agreement(half, truth, top=2).recall == 0.5
    hidden = torch.tensor([[torch.nan, -3.0, 2.0], [1.0, 0.5, 0.0]])
    assert agreement(hidden, truth).n_cells == 5
    assert agreement(torch.ones(2, 3), truth).spearman != agreement(truth, truth).spearman
    assert agreement(truth, torch.zeros(2, 3)).recall != agreement(truth, truth).recall
    with pytest.raises(PatchError, match="top is 0"):
        agreement(truth, truth, top=0)
    with pytest.raises(PatchError, match="only 0 of 6"):
        agreement(truth, torch.full((2, 3), torch.nan))


def test_scores_are_saved_drawn_and_named(paired, contrast, tmp_path):
    pair = paired("llama")
    found = attribute(
        pair,
        contrast(pair),
        within(sites=["resid_pre", "z.heads"]),
        exact=10,
        inference=Inference(n_resamples=100),
    )
    again = NodeScores.load(found.save(tmp_path / "a"))
    assert torch.equal(again.score.value, found.score.value)
    assert again.agreement == found.agreement
    assert again.provenance == found.provenance
    frame = found.to_frame()
    assert {"problem", "site", "pos", "score", "by_problem"} <= set(frame.columns)
    assert len(found.figure().data) == 2
    score = found.score
    assert bool(((score.low <= score.value) & (score.value <= score.high)).all())
