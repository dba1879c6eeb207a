"""An engine does exactly what the models do, or is not asked; one that computes else is refused."""

import importlib.util
from dataclasses import replace

import pytest
import torch

from elicit import jobs, organisms
from elicit.capture import capture, check_engine, served, stream
from elicit.edits import (
    Ablate,
    Clamp,
    ProjectOut,
    Steer,
    at,
    edited,
    everywhere,
    generated,
    last,
    prompt,
    window,
)
from elicit.engines import EngineError, PushStep, engine_of, open_interp_engine, pushes_of, serving
from elicit.engines.pushes import KINDS
from elicit.rollouts import Generation, dose_rollouts, rollouts
from elicit.sites import Site, resid_post
from elicit.tasks import load_task
from elicit.weights import grafted, part
from tests import checkpoints

INSTALLED = importlib.util.find_spec("interp_engine") is not None
needs_engine = pytest.mark.skipif(
    not INSTALLED, reason="interp-engine is not installed: pip install 'elicit-interp[serve]'"
)
WRITE = Generation(max_new_tokens=10)


@pytest.fixture(scope="module")
def pair(organism):
    return organism("rl")


@pytest.fixture(scope="module")
def task():
    return load_task(organisms.resolve("rl").problems).subset(3, seed=0)


def directions(pair):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, pair.d_model, generator=generator)


class Recorded:
    """An engine that answers from a native model and counts what it was asked."""

    name = "recorded 1 (test)"

    def __init__(self, off=0.0):
        self.off, self.read_rows, self.written_rows = off, 0, 0

    def refuses(self, site):
        return None if site.kind in KINDS and site.head is None else "not here"

    def read(self, ids, sites, push):
        self.read_rows += 1
        return {site: torch.full((len(ids), 96), self.off) for site in sites}

    def write(self, ids, draws, push):
        self.written_rows += 1
        return [1] * draws.max_new_tokens


def test_steps_along_vectors_are_the_edits_that_they_stand_for(pair):
    u, v = directions(pair)
    site = resid_post(2)
    edits = [Steer(site, u, scale=0.7), Clamp(site, v, 2.5, scale=0.5), ProjectOut(site, u)]
    ids = torch.tensor([[5, 9, 12, 7]])
    with torch.no_grad():
        clean = capture(pair.base, ids, sites=[site]).at[site]
        with edited(pair.base, edits):
            ours = capture(pair.base, ids, sites=[site]).at[site]
    push = pushes_of(edits, 0, 4, 4)
    assert push is not None and push.excluded == () and push.generated
    x = clean
    for step in push.steps:
        unit = step.vector / step.vector.norm()
        along = (x @ unit)[..., None] * unit
        x = x + step.amount * step.vector if step.how == "add" else x + (step.amount - 1) * along
    assert (x - ours).abs().max() < 1e-5


@pytest.mark.parametrize(
    ("where", "excluded", "later"),
    [
        (everywhere(), (), True),
        (prompt(), (4, 5), False),
        (generated(), (0, 1, 2, 3), True),
        (last(), (0, 1, 2, 4, 5), False),
        (at(0, -1), (1, 2, 4, 5), False),
    ],
)
def test_tokens_that_are_meant_are_those_of_the_edit(where, excluded, later):
    push = pushes_of([Steer(resid_post(0), torch.ones(4), where=where)], 0, 4, 6)
    assert push is not None
    assert (push.excluded, push.generated) == (excluded, later)


def test_what_steps_cannot_say_is_not_handed_over():
    u, site = torch.ones(4), resid_post(0)
    assert pushes_of([Ablate(site)], 0, 4, 4) is None
    assert pushes_of([Steer(site, u, where=window(1, 3))], 0, 4, 4) is None
    assert pushes_of([Steer(site, u, where=last()), Steer(site, u)], 0, 4, 4) is None
    assert pushes_of([Steer(Site("z", 0, 1), u)], 0, 4, 4) is None
    # interp-engine would add it to what the MLP reads, and not to the residual stream.
    assert pushes_of([Steer(Site("resid_mid", 0), u)], 0, 4, 4) is None
    (none,) = [pushes_of([Steer(site, u, scale=0.0)], 0, 4, 4)]
    assert none is not None and none.steps == ()
    rows = pushes_of([Steer(site, u, scale=torch.tensor([1.0, 3.0]))], 1, 4, 4)
    assert rows is not None and isinstance(rows.steps[0], PushStep) and rows.steps[0].amount == 3


def test_an_engine_serves_its_block_and_no_model_whose_weights_changed(pair, task):
    engine = Recorded()
    with serving({pair.base: engine}):
        assert engine_of(pair.base) is engine
        assert engine_of(pair.post) is None
        with grafted(pair, part(pair, "L2")):
            assert engine_of(pair.base) is None
            rollouts(pair.side("base"), task, generation=WRITE)
        assert engine.written_rows == 0
        with torch.no_grad():
            one = next(pair.base.blocks[1].parameters())
            kept = one.data[(0,) * one.ndim].clone()
            one.data[(0,) * one.ndim] += 1
            assert engine_of(pair.base) is None
            one.data[(0,) * one.ndim] = kept
        assert engine_of(pair.base) is engine
        rollouts(pair.side("base"), task, generation=WRITE)
        assert engine.written_rows == len(task)
    assert engine_of(pair.base) is None


def test_readings_go_to_the_engine_and_those_of_single_heads_do_not(pair):
    engine, rows = Recorded(off=3.0), [[5, 6, 7], [8, 9]]
    with serving({pair.base: engine}):
        (chunk,) = stream(pair.base, rows, sites=[resid_post(1)], pad_id=0)
        real = chunk.encoded.mask.bool()
        assert engine.read_rows == 2 and (chunk.captured.at[resid_post(1)][real] == 3).all()
        with torch.no_grad():
            capture(pair.base, torch.tensor([[5, 6]]), sites=[Site("z", 1)])
            capture(pair.base, torch.tensor([[5, 6]]), sites=[resid_post(1)], logits=True)
        capture(pair.base, torch.tensor([[5, 6]]), sites=[resid_post(1)])  # with gradients
    assert engine.read_rows == 2


def test_an_engine_with_other_addresses_or_norms_is_refused(pair):
    with pytest.raises(EngineError, match=r"resid_pre\.0 of base differs .* mean norms"):
        check_engine(pair.side("base"), Recorded(off=1.0))


@pytest.mark.skipif(INSTALLED, reason="interp-engine is installed")
def test_a_missing_engine_is_named_with_its_extra(pair, tmp_path):
    with pytest.raises(EngineError, match=r"elicit-interp\[serve\]"), served(pair):
        pass


@needs_engine
@pytest.mark.parametrize("architecture", checkpoints.FAMILIES)
def test_interp_engine_reads_what_the_models_compute(architecture, paired):
    pair = paired(architecture)
    side = pair.side("post")
    engine = open_interp_engine(side.bridge, pair.post_tokenizer, "post")
    assert check_engine(side, engine) <= 1e-5
    # On the same storage: one copy of the weights serves both.
    ours = {p.data_ptr() for p in side.bridge.parameters()}
    assert {p.data_ptr() for p in engine._model.hf_model.parameters()} & ours


@needs_engine
def test_texts_of_interp_engine_are_those_of_the_models(pair, task):
    side = pair.side("base")
    u, v = directions(pair)
    site = resid_post(3)

    def push(strengths):
        return [Steer(site, u, scale=strengths, where=generated())]

    def everything():
        plain = rollouts(side, task, generation=WRITE)
        doses = dose_rollouts(side, task, push, strengths=[0.0, 1.0], generation=WRITE)
        with edited(side.bridge, [Clamp(site, v, 4.0, where=last())]):
            clamped = rollouts(side, task, generation=WRITE)
        with edited(side.bridge, [ProjectOut(site, plain_direction)]):
            out = rollouts(side, task, generation=WRITE)
        return [each.text for each in (plain, doses, clamped, out)]

    with torch.no_grad():
        plain_direction = capture(side.bridge, torch.tensor([[5, 6, 7]]), sites=[site]).at[site][
            0, 2
        ]
    native = everything()
    with served(pair) as notes:
        assert engine_of(side.bridge) is not None and "interp-engine" in notes[0]
        assert everything() == native
    assert len({*native[0], *native[1]}) > len(set(native[0]))  # the vector did something


@needs_engine
def test_sampled_texts_depend_on_their_own_seed_alone(pair, task):
    side, sampled = pair.side("base"), replace(WRITE, temperature=1.0, n_samples=2)
    with served(pair):
        both = rollouts(side, task, generation=sampled, seed=1)
        torch.manual_seed(5)
        before = torch.random.get_rng_state()
        alone = rollouts(side, task.subset(1, seed=0), generation=sampled, seed=1)
        assert torch.equal(torch.random.get_rng_state(), before)
        other = rollouts(side, task, generation=sampled, seed=2)
    place = [p.id for p in task].index(task.subset(1, seed=0).problems[0].id)
    assert alone.text == both.text[2 * place : 2 * place + 2]
    assert other.text != both.text


@needs_engine
def test_a_job_says_what_the_engine_did_and_finds_the_same(tmp_path):
    words = {"pair": "organism:rl", "limit": 4, "traces": "own", "max_new_tokens": 12}
    found = [
        jobs.trace(jobs.TraceSpec(**words, engine=engine, out=tmp_path / engine)).summary
        for engine in ("native", "interp-engine")
    ]
    assert any("interp-engine" in note for note in found[1]["notes"])
    assert found[0]["sentence"] == found[1]["sentence"]


@needs_engine
def test_a_backend_that_is_not_there_is_refused_before_the_run(tmp_path):
    spec = jobs.TraceSpec(
        pair="organism:rl", engine="interp-engine", engine_backend="vllm", out=tmp_path / "run"
    )
    with pytest.raises(EngineError, match="engine='native'"):
        jobs.trace(spec)
    assert not (tmp_path / "run").exists()
