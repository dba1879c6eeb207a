"""A patched path is the sender's message at the receivers, with everything between held still."""

from contextlib import nullcontext

import pytest
import torch

from elicit.capture import capture
from elicit.edits import Patch, edited
from elicit.pair import hugging_face_model
from elicit.patching import PatchError, across, patch, within
from elicit.patching.attribution import PathEffect, path_patch
from elicit.sites import Site, SiteError, attn_out, mlp_out, q, resid_mid, resid_pre, v, z
from elicit.stats import Inference

FEW = {"inference": Inference(n_resamples=100)}


def by_definition(model, host_ids, donor_ids, answer, wrong, sender, receivers, *, logits=False):
    """Three whole forwards with edits: sender replaced and all else frozen, then receivers put."""
    n = len(model.blocks)
    writers = [site(layer) for layer in range(n) for site in (attn_out, mlp_out)]
    reads = [site.whole for site in receivers]

    def encoded(ids):
        from elicit.pair import Encoded

        ids = torch.tensor([ids])
        return Encoded(ids, torch.ones_like(ids), torch.arange(ids.shape[1])[None])

    def run(ids, edits, sites):
        with torch.no_grad(), edited(model, edits) if edits else nullcontext():
            return capture(model, encoded(ids), sites=sites, logits=True)

    def value(ids, edits):
        logits = run(ids, edits, []).logits[0, -1]
        return (logits[answer] - logits[wrong]).item()

    host = run(host_ids, [], [sender.whole, *writers])
    donor = run(donor_ids, [], [sender.whole])
    given = donor.at[sender.whole]
    given = given if sender.head is None else given[:, :, sender.head]
    speaks = attn_out(sender.layer) if sender.kind in ("z", "q", "k", "v") else sender
    own = (host.logits[0, -1, answer] - host.logits[0, -1, wrong]).item()
    frozen = [w for w in writers if w != speaks and w.layer >= sender.layer]
    still = [Patch(site=w, donor=host.at[w]) for w in frozen]
    told = run(host_ids, [Patch(site=sender, donor=given), *still], reads)
    put = []
    for site in receivers:
        new = told.at[site.whole]
        put.append(Patch(site=site, donor=new if site.head is None else new[:, :, site.head]))
    if logits:
        assert not receivers
        logits = told.logits[0, -1]
        return (logits[answer] - logits[wrong]).item() - own
    return value(host_ids, put) - own


PATHS = [
    (z(0, 1), [q(2, 3)]),
    (z(0, 2), [v(2, 1)]),
    (mlp_out(0), [q(1, 0), v(2, 0)]),
    (mlp_out(0), [Site("k", 2, 1)]),
    (attn_out(1), [q(2, 1)]),
    (q(0, 1), [v(2, 0)]),
    (Site("v", 0, 1), [q(1, 2)]),
]


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gpt_neox", "gemma2", "olmo2"])
def test_a_path_is_three_whole_forwards_with_everything_between_frozen(
    paired, contrast, architecture
):
    pair = paired(architecture)
    given = contrast(pair).subset(2, seed=0)
    assert given.corrupted is not None
    assert given.wrong is not None
    for direction in ("denoise", "noise") if architecture == "llama" else ("denoise",):
        host, donor = given.corrupted, given.clean
        if direction == "noise":
            host, donor = donor, host
        for sender, receivers in [*PATHS, (z(1, 0), [])]:
            ends = receivers or ["logits"]
            found = path_patch(pair, given, within(direction), sender, ends, **FEW)
            truth = [
                by_definition(
                    pair.base, host[p], donor[p], given.answer[p][0], given.wrong[p][0], sender,
                    receivers, logits=not receivers,
                )
                for p in range(len(given))
            ]  # fmt: skip
            assert found.effect.value.item() == pytest.approx(sum(truth) / len(truth), abs=2e-6)


def exact(pair, given, site):
    return patch(pair, given, within(sites=[site]), controls=(), **FEW).effect.value[0, 0, 0]


@pytest.mark.parametrize("architecture", ["llama", "gpt_neox", "gemma2"])
def test_where_a_path_is_the_only_one_it_is_the_patch_itself(paired, contrast, architecture):
    pair = paired(architecture)
    given = contrast(pair)

    def path(sender, receivers):
        return path_patch(
            pair, given, within(positions="each"), sender, receivers, **FEW
        ).effect.value

    # Nothing reads the last MLP but the logits.
    assert torch.allclose(path("mlp_out.2", ["logits"]), exact(pair, given, mlp_out(2)), atol=2e-6)
    # Attention hears the stream that enters its layer, and nothing else.
    found = path("resid_pre.1", ["attn_out.1"])
    assert torch.allclose(found, path_of_attention(pair, given), atol=2e-6)
    if architecture == "gpt_neox":
        # Beside the MLP, the last layer's heads are read by the logits alone.
        assert torch.allclose(path("z.2.1", ["logits"]), exact(pair, given, z(2, 1)), atol=2e-6)
    else:
        found = path("resid_mid.2", ["mlp_out.2", "logits"])
        assert torch.allclose(found, exact(pair, given, resid_mid(2)), atol=2e-6)


def path_of_attention(pair, given):
    """Attention of layer 1 as it would be with the donor's stream at one position, then patched."""
    found = []
    shortest = min(len(row) for row in given.clean)
    for place in range(-shortest, 0):
        values = []
        for p in range(len(given)):
            rows = (given.corrupted[p], given.clean[p])
            values.append(
                _attention_patched(pair.base, *rows, place, given.answer[p][0], given.wrong[p][0])
            )
        found.append(sum(values) / len(values))
    return torch.tensor(found, dtype=torch.float64)


@torch.no_grad()
def _attention_patched(model, host, donor, place, answer, wrong):
    from elicit.edits import at
    from elicit.pair import Encoded

    def run(ids, edits, sites):
        ids = torch.tensor([ids])
        batch = Encoded(ids, torch.ones_like(ids), torch.arange(ids.shape[1])[None])
        with edited(model, edits) if edits else nullcontext():
            return capture(model, batch, sites=sites, logits=True)

    stream = run(donor, [], [resid_pre(1)]).at[resid_pre(1)]
    moved = run(host, [Patch(site=resid_pre(1), donor=stream, where=at(place))], [attn_out(1)])
    out = run(host, [Patch(site=attn_out(1), donor=moved.at[attn_out(1)])], []).logits[0, -1]
    plain = run(host, [], []).logits[0, -1]
    return ((out[answer] - out[wrong]) - (plain[answer] - plain[wrong])).item()


def test_across_a_path_carries_the_donor_models_value_through_the_hosts_weights(paired, contrast):
    pair = paired("llama")
    given = contrast(pair)
    found = path_patch(pair, given, across(), "mlp_out.2", ["logits"], **FEW)
    truth = patch(pair, given, across(sites=["mlp_out.2"], positions="all"), controls=(), **FEW)
    assert found.effect.value.item() == pytest.approx(truth.effect.value.item(), abs=2e-6)
    assert (found.host, found.donor) == ("base", "post")


def test_a_path_is_saved_and_leaves_the_model_alone(paired, contrast, tmp_path):
    pair = paired("qwen2")
    given = contrast(pair)
    ids = torch.tensor([given.clean[0]])
    before = hugging_face_model(pair.base)(input_ids=ids).logits
    found = path_patch(
        pair, given, within(positions="each"), "z.0.1", ["mlp_out.1", "logits"], **FEW
    )
    assert torch.equal(hugging_face_model(pair.base)(input_ids=ids).logits, before)
    again = PathEffect.load(found.save(tmp_path / "p"))
    assert torch.equal(again.effect.value, found.effect.value)
    assert again.receiver == ("mlp_out.1", "logits")


@pytest.mark.parametrize(
    ("sender", "receivers", "told"),
    [
        ("z.1.0", ["q.1.0"], "does not read"),
        ("mlp_out.1", ["mlp_out.1"], "does not read"),
        ("mlp_out.2", ["q.1.0"], "does not read"),
        ("z.0.0", [], "receivers is empty"),
        ("z.0.0", "logits", "list"),
        ("pattern.0.0", ["logits"], "pattern"),
    ],
)
def test_paths_that_do_not_exist_are_refused(paired, contrast, sender, receivers, told):
    pair = paired("llama")
    with pytest.raises(PatchError, match=told):
        path_patch(pair, contrast(pair), within(), sender, receivers)


def test_beside_one_another_attention_and_mlp_do_not_hear_each_other(paired, contrast):
    pair = paired("gpt_neox")
    with pytest.raises(PatchError, match="does not read"):
        path_patch(pair, contrast(pair), within(), "z.1.0", ["mlp_out.1"])


def test_sites_that_are_nowhere_are_refused(paired, contrast):
    pair = paired("llama")
    with pytest.raises(SiteError, match="layer 9"):
        path_patch(pair, contrast(pair), within(), "z.9.0", ["logits"])
    with pytest.raises(SiteError, match="head 9"):
        path_patch(pair, contrast(pair), within(), "z.0.0", ["q.1.9"])
    with pytest.raises(SiteError, match="4 sites"):
        path_patch(pair, contrast(pair), within(), "z.0.heads", ["logits"])
