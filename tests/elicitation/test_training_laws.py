"""Laws of training: what gives no gradient moves nothing, and what ran twice is the same twice."""

from dataclasses import replace

import pytest
import torch

from elicit.edits import Steer, edited
from elicit.elicitation.training import (
    AnswerReward,
    ConstantRewardError,
    FormatReward,
    FunctionReward,
    GrpoPlan,
    RandomReward,
    Trained,
    TrainingError,
    Written,
    advantages,
    grpo,
)
from elicit.elicitation.training._course import output_norms
from elicit.elicitation.training._parametrised import changed
from elicit.elicitation.training._reading import Row, TextReader
from elicit.elicitation.training._ways import parametrised
from elicit.pair import hugging_face_model, weights_digest
from elicit.rollouts import answer_task, rollouts
from elicit.runs import Execution
from elicit.sites import Site
from elicit.tasks import Problem
from elicit.traces import EquationsHold
from tests.elicitation.chains import ANSWERS, chains

SHORT = replace(ANSWERS, max_new_tokens=4)
QUICK = GrpoPlan(steps=2, groups=2, group=3, every=1, generation=SHORT)
WAYS = ("all", "lora", "bias", "tiny")


class Kept:
    """A checkpoint in memory, which can be told to stop."""

    def __init__(self, stop_after: int | None = None):
        self.kept, self.left = {}, stop_after

    def get_or_compute(self, key, compute):
        if key not in self.kept:
            if self.left == 0:
                raise KeyboardInterrupt
            self.left = None if self.left is None else self.left - 1
            self.kept[key] = compute()
        return self.kept[key]


@pytest.fixture(scope="module")
def side(organism):
    return organism("rl").side("base")


def quick(side, trainable="all", *, seed=0, execution=None, **changes) -> Trained:
    return grpo(
        side,
        chains(12, 1),
        reward=RandomReward(),
        choose=chains(4, 2),
        trainable=trainable,
        plan=replace(QUICK, **changes),
        seed=seed,
        execution=execution or Execution(),
    )


def same(one: Trained, other: Trained) -> bool:
    return (
        torch.equal(one.curve, other.curve)
        and one.parameters.keys() == other.parameters.keys()
        and all(torch.equal(v, other.parameters[k]) for k, v in one.parameters.items())
    )


def written(**changes) -> Written:
    told = {
        "problem": Problem(id="p", prompt="Q a = 3 ; b = a + 4 ; b ? A", answer="7"),
        "text": "so b = 3 + 4 = 7 ; answer 7 .",
        "extracted": "7",
        "correct": True,
        "truncated": False,
        "n_tokens": 11,
        "key": 5,
    }
    return Written(**{**told, **changes})


def test_texts_that_all_earn_the_same_have_no_advantage_and_others_none_on_average():
    rewards = torch.tensor([[1, 1, 1, 1], [0.3, 0.3, 0.3, 0.3], [1, 0, 0, 0]]).double()
    found = advantages(rewards)
    assert not bool(found[:2].any())
    spread = rewards[2].std() + 0.1
    assert torch.allclose(found[2], torch.tensor([0.75, -0.25, -0.25, -0.25]).double() / spread)


def test_a_random_reward_has_no_advantage_in_any_group_and_as_many_still_groups_as_chance():
    reward = RandomReward(rate=0.1)
    drawn = [reward(written(key=key)) for key in range(16_000)]
    groups = torch.tensor(drawn).view(-1, 8)
    found = advantages(groups)
    assert float(found.sum(1).abs().max()) < 1e-12
    still = float((found == 0).all(1).double().mean())
    assert abs(still - (0.9**8 + 0.1**8)) < 4 * (0.43 * 0.57 / 2000) ** 0.5
    # Whatever the text says, its draw stays; another text has another one.
    assert [reward(written(key=7, text=t)) for t in "ab"] == [reward(written(key=7))] * 2


def test_rewards_see_what_they_say():
    assert AnswerReward()(written()) == 1 and AnswerReward()(written(correct=False)) == 0
    assert AnswerReward()(written(truncated=True)) == 0
    checked = AnswerReward(checker=EquationsHold(modulus=10))
    assert checked(written()) == 1
    assert checked(written(text="so b = 3 + 4 = 2 ; answer 7 .")) == 0
    assert FormatReward()(written(text="answer 7 .")) == 0
    assert FormatReward()(written(text="so " * 12)) == 1
    assert FormatReward()(written(text="so " * 12, correct=False)) == 1
    with pytest.raises(TrainingError, match="rate is 1"):
        RandomReward(rate=1.0)


@pytest.fixture(scope="module")
def rows(side):
    """Sampled texts of a few problems, with weights of both signs and none."""
    found = rollouts(
        side,
        chains(4, 3),
        generation=replace(ANSWERS, temperature=1.0, n_samples=4, max_new_tokens=30),
        seed=3,
    )
    weights = [0.5, -1.0, 0.0, 0.25]
    return [
        Row(prompt=tuple(found.prompt_ids(i)), text=tuple(found.ids(i)), weight=weights[i % 4])
        for i in range(len(found))
    ]


def gradients(side, rows, *, shared):
    model = hugging_face_model(side.bridge)
    reader = TextReader(model, side.alignment, max_tokens=300, memory=2**28)
    assert reader._shares
    reader._shares = shared
    way = parametrised(side.bridge, "all", norms=torch.ones(6), seed=0)
    with way.installed():
        read = reader.read(rows)
        return read, torch.cat([leaf.grad.flatten() for leaf in way.leaves])


def test_a_prompt_read_once_for_all_its_texts_gives_the_gradient_of_whole_texts(side, rows):
    (one, shared), (other, whole) = (gradients(side, rows, shared=s) for s in (True, False))
    assert torch.allclose(one.log_prob, other.log_prob, atol=2e-5)
    assert torch.allclose(one.entropy, other.entropy, atol=2e-5)
    assert float((shared - whole).norm() / whole.norm()) < 1e-5
    assert one.n_moved < other.n_moved and float(whole.norm()) > 1


def test_texts_are_as_probable_as_the_whole_model_says(side, rows):
    read, _ = gradients(side, rows[:3], shared=True)
    for place, row in enumerate(rows[:3]):
        ids = torch.tensor([row.prompt + row.text])
        with torch.no_grad():
            logits = side.bridge(ids)[0].double().log_softmax(-1)
        begin = len(row.prompt) - 1
        every = logits[begin:-1]
        said = every.gather(-1, ids[0, begin + 1 :, None]).sum()
        assert abs(said - read.log_prob[place]) < 1e-4
        assert abs(-(every.exp() * every).sum() - read.entropy[place]) < 1e-4


@pytest.mark.parametrize("trainable", ["lora", "tiny"])
def test_a_small_change_has_the_gradient_of_autograd_through_the_change(side, rows, trainable):
    model = hugging_face_model(side.bridge)
    way = parametrised(side.bridge, trainable, norms=torch.ones(6), seed=1)
    reader = TextReader(model, side.alignment, max_tokens=8192, memory=2**28)
    generator = torch.Generator().manual_seed(0)
    with way.installed():
        with torch.no_grad():
            for leaf in way.leaves:
                leaf += 0.02 * torch.randn(leaf.shape, generator=generator)
        way.refresh()
        reader.read(rows)
        way.pull()
        given = torch.cat([leaf.grad.flatten() for leaf in way.leaves]).double()
        direction = given / given.norm()
        ends = []
        for sign in (1, -1):
            step, begin = sign * 2e-3 * direction, 0
            with torch.no_grad():
                for leaf in way.leaves:
                    n = leaf.numel()
                    leaf += step[begin : begin + n].view(leaf.shape).float()
                    begin += n
            way.refresh()
            still = [replace(row, weight=0.0) for row in rows]
            said = reader.read(still).log_prob
            ends.append(-float(sum(r.weight * s for r, s in zip(rows, said, strict=True))))
            with torch.no_grad():
                begin = 0
                for leaf in way.leaves:
                    n = leaf.numel()
                    leaf -= step[begin : begin + n].view(leaf.shape).float()
                    begin += n
    slope = (ends[0] - ends[1]) / 4e-3
    assert slope == pytest.approx(float(given.norm()), rel=0.02)


def test_a_change_of_zero_keeps_every_bit():
    weight = torch.randn(7, 5, generator=torch.Generator().manual_seed(0))
    up, down = torch.zeros(7, 2), torch.randn(2, 5)
    assert torch.equal(changed(weight, up, down), weight)


@pytest.mark.parametrize("trainable", WAYS)
def test_before_any_update_the_model_predicts_the_same_bits(side, trainable):
    ids = side.alignment.encode([p.prompt for p in chains(4, 3)], padding="right")
    model, digest = hugging_face_model(side.bridge), weights_digest(side.bridge)

    def logits():
        with torch.no_grad():
            return model(input_ids=ids.ids, attention_mask=ids.mask).logits

    norms = output_norms(side, [[1, 40, 50]], Execution())
    before, way = logits(), parametrised(side.bridge, trainable, norms=norms, seed=0)
    flags = [p.requires_grad for p in side.bridge.parameters()]
    with way.installed():
        way.refresh()
        assert torch.equal(logits(), before)
        with torch.no_grad():
            for leaf in way.leaves:
                leaf += 0.1
        way.refresh()
        assert not torch.equal(logits(), before)
    assert torch.equal(logits(), before) and weights_digest(side.bridge) == digest
    assert [p.requires_grad for p in side.bridge.parameters()] == flags
    assert all(p.grad is None for p in side.bridge.parameters())


def test_trained_vectors_are_what_steering_adds(side):
    norms = output_norms(side, [[1, 40, 50]], Execution())
    way = parametrised(side.bridge, "bias", norms=norms, seed=0)
    ids = side.alignment.encode([p.prompt for p in chains(4, 3)])
    model = hugging_face_model(side.bridge)
    with torch.no_grad():
        way.leaves[0].copy_(torch.randn(6, 96, generator=torch.Generator().manual_seed(0)) * 0.05)
        with way.installed():
            inside = model(input_ids=ids.ids, attention_mask=ids.mask).logits[ids.real]
        edits = [
            Steer(Site("resid_post", layer), vector)
            for layer, vector in enumerate(way.values().values())
        ]
        with edited(side.bridge, edits):
            steered = model(input_ids=ids.ids, attention_mask=ids.mask).logits[ids.real]
    assert torch.equal(inside, steered)


@pytest.mark.slow(checked=True)
@pytest.mark.parametrize("trainable", WAYS)
def test_a_reward_that_never_varies_moves_no_bit(side, trainable):
    always = FunctionReward(function=lambda _: 0.3, name="always", sees="nothing")
    digest = weights_digest(side.bridge)
    found = grpo(
        side,
        chains(12, 1),
        reward=always,
        trainable=trainable,
        plan=replace(QUICK, steps=2, constant="keep"),
    )
    assert not found.moved and found.trained_digest == digest == weights_digest(side.bridge)
    assert found.bits == 0 and not bool(found.of("with gradient").any())
    with pytest.raises(ConstantRewardError, match="0.3"):
        grpo(side, chains(12, 1), reward=always, trainable=trainable, plan=QUICK)


@pytest.mark.slow(checked=True)
@pytest.mark.parametrize("trainable", WAYS)
def test_the_same_seed_trains_the_same_bytes_also_after_a_kill(side, trainable):
    whole, kept = quick(side, trainable), Kept(stop_after=2)
    assert whole.moved and whole.n_updates == 2
    with pytest.raises(KeyboardInterrupt):
        quick(side, trainable, execution=Execution(checkpoint=kept))
    kept.left = None
    assert same(quick(side, trainable, execution=Execution(checkpoint=kept)), whole)


def test_another_seed_trains_other_bytes(side):
    assert not same(quick(side, seed=1), quick(side))


def test_the_size_of_what_is_trained_is_told(side):
    norms, counts = torch.ones(6), {}
    for way in WAYS:
        counts[way] = parametrised(side.bridge, way, norms=norms, seed=0).n_trained
    embeddings, layer = 2 * 308 * 96, 4 * 96 * 96 + 3 * 96 * 256 + 2 * 96
    assert counts["all"] == embeddings + 6 * layer + 96
    assert counts["bias"] == 6 * 96 and counts["tiny"] == 13
    assert counts["lora"] == 8 * 6 * (4 * (96 + 96) + 3 * (96 + 256))


def test_what_was_trained_is_read_from_disk_and_leaves_with_its_block(side, tmp_path):
    found, digest = quick(side, learning_rate=0.05), weights_digest(side.bridge)
    loaded = Trained.load(found.save(tmp_path / "trained"))
    plain = answer_task(side, chains(4, 4), generation=SHORT).completion
    texts = []
    for each in (found, loaded):
        with each.applied(side):
            assert weights_digest(side.bridge) == found.trained_digest != digest
            texts.append(answer_task(side, chains(4, 4), generation=SHORT).completion)
            with pytest.raises(TrainingError, match=digest[:12]), each.applied(side):
                pass
    assert texts[0] == texts[1] != plain and weights_digest(side.bridge) == digest


def test_training_ends_with_its_budget_and_refuses_one_below_an_update(side):
    tokens = quick(side, steps=1).of("tokens")
    found = quick(side, budget=int(1.5 * tokens[0]))
    assert found.stopped == "budget" and torch.equal(found.of("tokens"), tokens)
    with pytest.raises(TrainingError, match=rf"budget is {int(tokens[0]) - 1}"):
        quick(side, budget=int(tokens[0]) - 1)
    with pytest.raises(TrainingError, match="budget is 10"):
        quick(side, budget=10)


def test_bad_input_is_refused_before_any_text_is_written(side):
    task = chains(12, 1)
    with pytest.raises(TrainingError, match="chains-1-0000"):
        grpo(side, task, choose=task, plan=QUICK)
    with pytest.raises(TrainingError, match="group is 1"):
        replace(QUICK, group=1)
    with pytest.raises(TrainingError, match="learning_rate is -1"):
        replace(QUICK, learning_rate=-1.0)
    with pytest.raises(TrainingError, match="nan"):
        nothing = FunctionReward(function=lambda _: float("nan"), name="none", sees="nothing")
        grpo(side, task, reward=nothing, plan=QUICK)
