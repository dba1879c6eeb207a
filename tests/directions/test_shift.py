"""The shift between two models' activations is what was planted between them."""

import pytest
import torch

from elicit import organisms
from elicit.capture import capture, unembed_of
from elicit.directions import ActivationShift, DirectionError, activation_shift
from elicit.edits import last
from elicit.elicitation import Goal, direction_arms, dose_curve
from elicit.pair.digests import checkpoint_parameters
from elicit.rollouts import Generation
from elicit.sites import SiteError, mlp_out, resid_post, resid_pre
from elicit.tasks import load_task
from tests.checkpoints import WORDS

TEXTS = [" ".join(WORDS[i : i + 6]) for i in range(12)]


@pytest.fixture(scope="module")
def unrelated():
    """Questions for facts, of which the planted vector says nothing."""
    task = load_task(organisms.resolve("organism:bias-l3").facts).subset(40, seed=0)
    return [problem.prompt for problem in task]


def test_the_planted_vector_is_recovered_and_its_layer_named(organism, unrelated):
    pair = organism("bias-l3")
    found = activation_shift(pair, unrelated)
    planted = checkpoint_parameters(pair.post)["model.layers.3.mlp.down_proj.bias"].detach()
    assert found.first_layer == 3
    assert not found.norm[:3].any()
    direction = found.direction(resid_post(3))
    cosine = torch.cosine_similarity(direction.vector, planted.float(), dim=0).item()
    assert cosine > 0.99
    assert direction.norm == pytest.approx(planted.norm().item(), rel=1e-4)
    assert (found.constant[3] > 0.999).all() and (found.reliability[3] > 0.999).all()


@pytest.mark.slow
def test_added_to_the_base_the_shift_is_the_post_trained_model(organism, unrelated, asked):
    pair = organism("bias-l3")
    direction = activation_shift(pair, unrelated).direction(resid_post(3))
    curve = dose_curve(
        pair.side("base"), asked.subset(24, seed=1),
        direction_arms(direction, where=last()), strengths=[1.0],
        goal=Goal(target=pair.side("post")),
        generation=Generation(max_new_tokens=90, batch_size=1024),
    )  # fmt: skip
    assert curve.share.value[0, 0, 0] >= 0.9
    assert (curve.share.value[0, 1:].abs() <= 0.1).all()


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_every_number_is_that_of_single_forwards(paired, architecture):
    pair = paired(architecture)
    sites = [resid_pre(1), resid_post(1)]
    found = activation_shift(pair, TEXTS, sites=sites, n_positions=4, top=3)
    each = {
        name: torch.stack(
            [
                torch.stack([capture(model, ids, sites=sites).at[site][0] for site in sites])
                for text in TEXTS
                for ids in [torch.tensor([pair.alignment.plain(text)[:4]])]
            ]
        ).detach()
        for name, model in (("base", pair.base), ("post", pair.post))
    }
    shift = (each["post"] - each["base"]).mean(0)
    torch.testing.assert_close(found.shift, shift, atol=1e-4, rtol=1e-4)
    read = unembed_of(pair.base).logits(found.shift[1, 2])
    assert found.token[1, 2].tolist() == read.topk(3).indices.tolist()
    assert found.word[1][2][0] == pair.alignment.decode([int(found.token[1, 2, 0])])
    mean = found.direction(resid_post(1)).vector
    torch.testing.assert_close(mean, found.shift[1, 1:].mean(0))
    assert torch.equal(found.direction(resid_post(1), 2).vector, found.shift[1, 2])


def test_a_model_has_no_shift_from_itself(organism, unrelated):
    with pytest.raises(DirectionError, match="norm 0"):
        activation_shift(organism("identity"), unrelated)


def test_saved_and_loaded_it_is_the_same(paired, tmp_path):
    found = activation_shift(paired("llama"), TEXTS, n_positions=3)
    found.save(tmp_path)
    loaded = ActivationShift.load(tmp_path)
    assert torch.equal(loaded.shift, found.shift) and loaded.word == found.word


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"n_positions": 0}, DirectionError, "n_positions is 0"),
        ({"n_positions": 30}, DirectionError, "text 0 has"),
        ({"top": 0}, DirectionError, "top 0"),
        ({"texts": TEXTS[:2]}, DirectionError, "2 texts"),
        ({"sites": [mlp_out(0)]}, DirectionError, "no residual stream"),
        ({"sites": [resid_post(30)]}, SiteError, "layer 30"),
    ],
)
def test_what_cannot_be_read_is_refused_before_a_model_runs(
    paired, monkeypatch, options, error, says
):
    def never(*_args, **_options):
        raise AssertionError("a model ran")

    monkeypatch.setattr("elicit.directions.shift.stream", never)
    with pytest.raises(error, match=says):
        activation_shift(paired("llama"), **{"texts": TEXTS, **options})


def test_a_place_that_was_not_read_has_no_direction(paired):
    found = activation_shift(paired("llama"), TEXTS, n_positions=3)
    with pytest.raises(DirectionError, match="no shift at"):
        found.direction(resid_post(0), 7)
