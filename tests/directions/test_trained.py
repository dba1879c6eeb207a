"""A trained vector raises what it was trained on, and changes nothing else."""

import pytest
import torch

from elicit.directions import DirectionError, TrainedVector, train_vector
from elicit.edits import EditError, at, edited, generated, last
from elicit.elicitation import Goal, direction_arms, dose_curve
from elicit.organisms import OrganismError, traced
from elicit.pair import hugging_face_model, weights_digest
from elicit.rollouts import Generation
from elicit.sites import SiteError, resid_post
from elicit.tasks import Problem, Task
from tests.checkpoints import WORDS
from tests.folded import folded


def task_of(n=4):
    """Prompts and continuations of several lengths."""
    return Task(
        name="made",
        problems=tuple(
            Problem(
                id=f"p{i}",
                prompt=" ".join(WORDS[i : i + 3 + i % 3]),
                answer=" ".join(WORDS[30 : 32 + i % 3]),
            )
            for i in range(n)
        ),
    )


def trained(pair, **options):
    options = {"site": resid_post(1), "where": last(), "steps": 6, **options}
    return train_vector(pair.side("base"), task_of(), **folded(options, keep=("seed",)))


def mean_log_prob(pair, edits):
    """By one whole forward a problem, without any batch."""
    found = []
    for problem in task_of():
        prompt = pair.alignment.plain(problem.prompt)
        whole = pair.alignment.plain(f"{problem.prompt} {problem.answer}")
        model = hugging_face_model(pair.base)
        ids, length = torch.tensor([whole[:-1]]), torch.tensor([len(prompt)])
        with torch.no_grad(), edited(pair.base, edits, prompt_lengths=length):
            log_probs = model(ids, use_cache=False).logits[0].log_softmax(-1)
        places = range(len(prompt) - 1, len(whole) - 1)
        found += [log_probs[place, whole[place + 1]].item() for place in places]
    return sum(found) / len(found)


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "gemma2"])
@pytest.mark.parametrize("where", [last(), generated()])
def test_what_it_says_of_itself_is_what_single_forwards_say(paired, architecture, where):
    pair = paired(architecture)
    pair.base.zero_grad(set_to_none=True)  # the pair is shared, and other tests look at gradients
    before = weights_digest(pair.base)
    found = trained(pair, where=where)
    direction = found.direction
    assert found.log_prob_after > found.log_prob_before
    for scale, told in ((1.0, found.log_prob_after), (0.0, found.log_prob_before)):
        alone = mean_log_prob(pair, [direction.to_edit(scale, where)])
        assert alone == pytest.approx(told, abs=1e-5)
    assert weights_digest(pair.base) == before
    assert all(p.grad is None for p in pair.base.parameters())


def test_one_step_goes_as_far_as_the_rate_says(paired):
    found = trained(paired("llama"), steps=1, learning_rate=0.1)
    assert found.norm[0] == pytest.approx(1e-3 * found.resid_norm, rel=1e-4)
    assert found.vector.norm().item() == pytest.approx(0.1 * found.resid_norm, rel=0.05)


def test_the_same_seed_gives_the_same_bytes(paired, tmp_path):
    pair = paired("llama")
    for folder in ("one", "two"):
        trained(pair, seed=3, max_tokens=16).save(tmp_path / folder)
    for file in ("values.safetensors", "result.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    loaded = TrainedVector.load(tmp_path / "one")
    assert not torch.equal(loaded.vector, trained(pair, seed=4).vector)


@pytest.mark.slow
def test_trained_to_write_traces_it_reasons_on_other_problems_and_no_control_does(organism, asked):
    pair = organism("when-l3")
    fit, test = (half.subset(16, seed=0) for half in asked.split([0.6, 0.4], seed=0))
    found = train_vector(pair.side("base"), traced(fit), site=resid_post(3), where=last(), steps=40)
    curve = dose_curve(
        pair.side("base"), test, direction_arms(found.direction, where=last()),
        strengths=[1.0], goal=Goal(target=pair.side("post")),
        generation=Generation(max_new_tokens=90, batch_size=1024),
    )  # fmt: skip
    assert curve.share.value[0, 0, 0] >= 0.9
    assert (curve.share.value[0, 1:].abs() <= 0.1).all()


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"steps": 0}, DirectionError, "steps is 0"),
        ({"learning_rate": 0.0}, DirectionError, "learning_rate 0.0"),
        ({"site": resid_post(40)}, SiteError, "layer 40"),
        ({"where": at(9)}, EditError, "position 9"),
    ],
)
def test_what_would_train_nothing_is_refused(paired, options, error, says):
    with pytest.raises(error, match=says):
        trained(paired("llama"), **options)


def test_choices_are_no_continuations(organism, asked):
    pair = organism("when-l3")
    with pytest.raises(DirectionError, match="candidates"):
        train_vector(pair.side("base"), asked, site=resid_post(3), where=last())
    bare = Task(name="bare", problems=(Problem(id="p", prompt="a", answer="b"),))
    with pytest.raises(OrganismError, match="no trace"):
        traced(bare)
