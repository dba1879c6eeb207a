"""Lanes agree with whole forwards of plain Hugging Face models, cell by cell."""

from dataclasses import replace

import pytest
import torch

from elicit.capture import (
    CaptureError,
    Lanes,
    UnknownArchitectureError,
    Work,
    active_lanes,
    changed,
    decompose,
    full_logits,
    kept_sites,
    read_sites,
    run_lanes,
    run_trunk,
)
from elicit.capture.engine.run import chunks
from elicit.sites import KINDS, Site
from tests.capture import oracle
from tests.checkpoints import ARCHITECTURES

LENGTHS = (9, 6, 7)


def batch_of(pair, padding):
    generator = torch.Generator().manual_seed(0)
    rows = [torch.randint(4, 60, (n,), generator=generator).tolist() for n in LENGTHS]
    return pair.alignment.pad(rows, padding=padding)


def groups_of(shape):
    """Every kind of site, whole and by head, alone; and three windows."""
    kinds = [k for k in KINDS if k != "pattern" and not (k == "resid_mid" and shape.parallel)]
    groups = []
    for kind in kinds:
        for layer in range(shape.n_layers):
            groups.append((Site(kind, layer),))
            if shape.heads(kind):
                groups.append((Site(kind, layer, 1),))
    groups.append((Site("mlp_out", 0), Site("mlp_out", 1)))
    groups.append((Site("resid_pre", 1), Site("z", 2, 0), Site("z", 2, 1)))
    groups.append((Site("z", 0), Site("v", 1, 1), Site("attn_out", 2)))
    return tuple(groups)


def lanes_of(batch, groups, padding):
    n_pos = batch.ids.shape[1]
    rows = []
    for row, n in enumerate(LENGTHS):
        first = n_pos - n if padding == "left" else 0
        for group in range(len(groups)):
            for low, high in ((0, n), (2, 3), (n - 1, n), (3, 5)):
                rows.append((row, first + low, first + high, group))
    table = torch.tensor(rows)
    firsts = torch.tensor([n_pos - n if padding == "left" else 0 for n in LENGTHS])
    reads = torch.stack([firsts + torch.tensor(LENGTHS) - 1, firsts + 3], dim=1)
    lanes = Lanes(
        row=table[:, 0],
        low=table[:, 1],
        high=table[:, 2],
        group=table[:, 3],
        groups=groups,
        source_row=table[:, 0],
    )
    return lanes, reads


def flown(trunk, lanes, sources, reads, **options):
    out = torch.full((len(lanes), reads.shape[1], trunk.resid[0].shape[-1]), torch.nan)
    for result in run_lanes(trunk, lanes, sources, reads, **options):
        out[result.lane] = result.resid
    return out


@pytest.mark.parametrize("padding", ["left", "right"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_lane_ends_where_a_plain_model_with_hooks_ends(paired, architecture, padding):
    pair = paired(architecture)
    batch = batch_of(pair, padding)
    host = decompose(pair.base)
    groups = groups_of(host.shape)
    sites = {site for sites in groups for site in sites}
    with torch.no_grad():
        sources = read_sites(decompose(pair.post), batch, sites)
        trunk = run_trunk(host, batch, keep=kept_sites(groups))
        lanes, reads = lanes_of(batch, groups, padding)
        ends = flown(trunk, lanes, sources, reads, max_tokens=150)
        logits = host.unembed.logits(ends)
        moves = changed(trunk, lanes, sources, reads)
    plain = oracle.plain(architecture, seed=1)
    given = (batch.ids, batch.mask, batch.position_ids)
    clean, _ = oracle.run(plain, architecture, *given)
    # One lane in five of each row: every kind and span is among them, and the test stays quick.
    # A plain run changes each row by a lane of its own, for rows do not see each other.
    per_row = len(lanes) // len(LENGTHS)
    for first in range(0, per_row - len(LENGTHS), 5):
        put, lanes_put = [], [row * per_row + first + row for row in range(len(LENGTHS))]
        for lane in lanes_put:
            row, low, high = int(lanes.row[lane]), int(lanes.low[lane]), int(lanes.high[lane])
            for site in groups[int(lanes.group[lane])]:
                value = sources[site.whole][row, low:high]
                value = value if site.head is None else value[:, site.head]
                if site.kind == "resid_mid":
                    # Plain modules have no place for it: what attention must have added instead.
                    own = trunk.value(Site("resid_pre", site.layer))[row, low:high]
                    site, value = Site("attn_out", site.layer), value - own
                put.append((site, row, low, high, value))
        whole, _ = oracle.run(plain, architecture, *given, put=put)
        for row, lane in enumerate(lanes_put):
            expected = whole[row, reads[row]]
            told = f"{groups[int(lanes.group[lane])]} row {row} lane {lane}"
            torch.testing.assert_close(
                logits[lane], expected, atol=1e-5, rtol=1e-5, msg=lambda m, t=told: f"{t}: {m}"
            )
            if not moves[lane]:
                assert torch.equal(expected, clean[row, reads[row]]), told


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_lane_that_puts_back_what_is_there_cannot_move(paired, architecture):
    pair = paired(architecture)
    batch = batch_of(pair, "left")
    host = decompose(pair.base)
    groups = groups_of(host.shape)
    with torch.no_grad():
        keep = {*kept_sites(groups), *(s.whole for sites in groups for s in sites)}
        trunk = run_trunk(host, batch, keep=keep)
    sources = {site: trunk.value(site) for sites in groups for site in (s.whole for s in sites)}
    lanes, reads = lanes_of(batch, groups, "left")
    assert not changed(trunk, lanes, sources, reads).any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_trunk_is_the_model(written, architecture, dtype):
    from elicit.pair import load_pair

    pair = load_pair(written(architecture, seed=1), written(architecture, seed=2), dtype=dtype)
    tolerance = 1e-5 if dtype == torch.float32 else 2 * torch.finfo(dtype).eps
    for padding in ("left", "right"):
        batch = batch_of(pair, padding)
        with torch.no_grad():
            trunk = run_trunk(decompose(pair.base), batch)
            found = trunk.decomposed.unembed.logits(trunk.resid[-1])
            expected = full_logits(pair.base, batch.ids, batch.mask, batch.position_ids)
        scale = expected.abs().max().item()
        gap = (found - expected)[batch.real].abs().max().item()
        assert gap <= tolerance * max(1.0, scale)


def test_neither_the_budget_nor_the_order_of_lanes_changes_where_they_end(paired):
    pair = paired("llama")
    batch, host = batch_of(pair, "right"), decompose(pair.base)
    groups = groups_of(host.shape)
    sites = {site for sites in groups for site in sites}
    with torch.no_grad():
        sources = read_sites(decompose(pair.post), batch, sites)
        trunk = run_trunk(host, batch, keep=kept_sites(groups))
    lanes, reads = lanes_of(batch, groups, "right")
    lanes = lanes.pick(torch.arange(0, len(lanes), 7))
    together = flown(trunk, lanes, sources, reads)
    alone = flown(trunk, lanes, sources, reads, max_tokens=1)
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    order = torch.randperm(len(lanes), generator=torch.Generator().manual_seed(1))
    mixed = flown(trunk, lanes.pick(order), sources, reads)
    torch.testing.assert_close(mixed, together[order], atol=1e-5, rtol=1e-5)


def test_a_chunk_holds_no_more_tokens_than_its_budget(paired):
    pair = paired("llama")
    batch, host = batch_of(pair, "right"), decompose(pair.base)
    groups = groups_of(host.shape)
    lanes, _ = lanes_of(batch, groups, "right")
    with torch.no_grad():
        trunk = run_trunk(host, batch)
    parts = list(chunks(trunk, lanes, 40))
    assert torch.equal(torch.cat(parts).sort().values, torch.arange(len(lanes)))
    assert max(int((trunk.n_pos - lanes.low[part]).sum()) for part in parts) <= 40


def test_a_lane_leaves_at_the_first_column_that_really_differs(paired):
    pair = paired("gemma3_text")
    host = decompose(pair.base)
    batch = pair.alignment.pad([[5, 6, 7, 8, 9, 10]], padding="right")
    other = pair.alignment.pad([[5, 6, 7, 28, 9, 10]], padding="right")
    groups = ((Site("z", 1),), (Site("resid_pre", 1), Site("mlp_out", 2)))
    sites = [site for sites in groups for site in sites]
    with torch.no_grad():
        sources = read_sites(host, other, sites)
        trunk = run_trunk(host, batch, keep=[*kept_sites(groups), *sites])
    two = torch.tensor([0, 1])
    lanes = Lanes(
        row=two * 0,
        low=two * 0,
        high=two * 0 + 6,
        group=two,
        groups=groups,
        source_row=two * 0,
    )
    reads = torch.tensor([[5, 4]])
    leaving = active_lanes(trunk, lanes, sources, reads)
    assert leaving.lanes.low.tolist() == [3, 3]
    whole = flown(trunk, lanes, sources, reads)
    short = flown(trunk, leaving.lanes, sources, reads)
    torch.testing.assert_close(short, whole, atol=1e-5, rtol=1e-5)
    assert not torch.equal(short[0, 0], trunk.resid[-1][0, 5])


def test_scales_go_from_the_own_value_to_the_source_and_beyond(paired):
    pair = paired("qwen3")
    batch, host = batch_of(pair, "right"), decompose(pair.base)
    site = Site("mlp_out", 1)
    with torch.no_grad():
        sources = read_sites(decompose(pair.post), batch, [site])
        trunk = run_trunk(host, batch, keep=[*kept_sites([(site,)]), site])
    scales = torch.tensor([0.0, 0.5, 1.0, 2.0])
    four = torch.zeros(4, dtype=torch.long)
    lanes = Lanes(
        row=four,
        low=four + 2,
        high=four + 4,
        group=four,
        groups=((site,),),
        source_row=four,
        scale=scales,
    )
    reads = torch.tensor([[8], [5], [6]])
    assert changed(trunk, lanes, sources, reads).tolist() == [False, True, True, True]
    ends = flown(trunk, lanes, sources, reads)
    whole = flown(trunk, replace(lanes, scale=None), sources, reads)
    torch.testing.assert_close(ends[2], whole[2], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ends[0, 0], trunk.resid[-1][0, 8], atol=1e-5, rtol=1e-5)
    own, theirs = trunk.value(site), sources[site]
    for lane, scale in ((1, 0.5), (3, 2.0)):
        there = {site: own + scale * (theirs - own)}
        moved = flown(trunk, replace(lanes, scale=None), there, reads)
        torch.testing.assert_close(ends[lane], moved[lane], atol=1e-5, rtol=1e-5)
    shift = {site: theirs - own}
    added = flown(trunk, replace(lanes, add=True), shift, reads)
    torch.testing.assert_close(added, ends, atol=1e-5, rtol=1e-5)


def test_the_work_counted_is_what_the_lane_scheme_needs(paired):
    """One lane at each layer and position of a row, read at its end."""
    pair = paired("llama")
    host = decompose(pair.base)
    batch = pair.alignment.pad([[5, 6, 7, 8, 9, 10]], padding="right")
    other = pair.alignment.pad([[15, 16, 17, 18, 19, 20]], padding="right")
    n_layers, n_pos = host.shape.n_layers, 6
    groups = tuple((Site("resid_pre", layer),) for layer in range(n_layers))
    with torch.no_grad():
        sources = read_sites(host, other, [g[0] for g in groups])
        trunk = run_trunk(host, batch)
    group = torch.arange(n_layers).repeat_interleave(n_pos)
    low = torch.arange(n_pos).repeat(n_layers)
    zero = torch.zeros_like(low)
    lanes = Lanes(row=zero, low=low, high=low + 1, group=group, groups=groups, source_row=zero)
    work = Work()
    flown(trunk, lanes, sources, torch.tensor([[n_pos - 1]]), work=work)
    suffixes = sum(range(1, n_pos + 1))
    # A lane's own layer projects its one changed token, each later layer the whole suffix.
    later = sum(n_layers - 1 - layer for layer in range(n_layers))
    assert work.project == n_layers * n_pos + later * suffixes
    # The last layer needs no more than the token read; the others need the suffix.
    inner = sum(n_layers - 1 - layer for layer in range(n_layers))
    assert work.mlp == work.write == inner * suffixes + n_layers * n_pos
    assert work.flops(trunk) > 0


def test_lanes_outside_the_batch_are_refused(paired):
    pair = paired("llama")
    batch, host = batch_of(pair, "right"), decompose(pair.base)
    with torch.no_grad():
        trunk = run_trunk(host, batch)
    one = torch.tensor([0])
    lanes = Lanes(
        row=one,
        low=one + 9,
        high=one + 10,
        group=one,
        groups=((Site("resid_pre", 0),),),
        source_row=one,
    )
    with pytest.raises(CaptureError, match="columns outside 0 to 8"):
        next(run_lanes(trunk, lanes, {}, torch.tensor([[8], [5], [6]])))
    with pytest.raises(CaptureError, match="max_tokens is 0"):
        next(chunks(trunk, lanes, 0))


def test_an_unknown_architecture_is_told_from_the_known_ones(paired, monkeypatch):
    pair = paired("llama")
    config = pair.base.original_model.config
    monkeypatch.setattr(config, "model_type", "mamba9")
    with pytest.raises(UnknownArchitectureError, match="mamba9.*knows gpt2"):
        decompose(pair.base)


def test_a_model_that_hooks_or_edits_change_is_not_taken_apart(paired):
    """Its parts would run past them, and the edit would look as if it had no effect."""
    from elicit.edits import Steer, edited

    model = paired("llama").base
    steer = Steer(site=Site("resid_pre", 0), vector=torch.ones(32))
    ids = torch.tensor([[5, 6]])
    with edited(model, [steer]):
        model(ids)
        with pytest.raises(CaptureError, match="under edits"):
            decompose(model)
    watching = model.hooks(fwd_hooks=[("blocks.1.hook_resid_pre", lambda x, hook: x)])
    with watching, pytest.raises(CaptureError, match="hook at blocks.1"):
        decompose(model)
    model.train()
    with pytest.raises(CaptureError, match="training mode"):
        decompose(model)
    model.eval()
    decompose(model)


def test_taking_a_model_apart_leaves_no_trace_on_it(paired):
    pair = paired("gemma2")
    batch = batch_of(pair, "left")
    given = (batch.ids, batch.mask, batch.position_ids)
    before = full_logits(pair.base, *given)
    hooks = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in pair.base.modules())
    forwards = ["forward" in block.__dict__ for block in pair.base.blocks]
    run_trunk(decompose(pair.base), batch)
    with pytest.raises(IndexError):
        decompose(pair.base).begin(batch.ids + 9999, batch.mask, batch.position_ids)
    assert torch.equal(full_logits(pair.base, *given), before)
    assert ["forward" in block.__dict__ for block in pair.base.blocks] == forwards
    after = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in pair.base.modules())
    assert after == hooks
