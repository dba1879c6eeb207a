"""A patchscope reads from a shift what was planted, and what random vectors do not say."""

import pytest
import torch

from elicit import organisms
from elicit.directions import DirectionError, Inspection, Patchscope, activation_shift, patchscope
from elicit.runs import Execution
from elicit.sites import resid_post
from elicit.tasks import load_task

PROMPT = "Q a = 3 ; b = 4 ; b ? A"


@pytest.fixture(scope="module")
def shift(organism):
    task = load_task(organisms.resolve("organism:bias-l3").facts).subset(20, seed=0)
    return activation_shift(organism("bias-l3"), [p.prompt for p in task], n_positions=3, top=5)


def test_the_planted_shift_calls_for_a_trace_and_random_vectors_as_long_do_not(organism, shift):
    found = patchscope(
        organism("bias-l3"),
        shift,
        inspection=Inspection(prompt=PROMPT, scales=(0.5, 1.0)),
        sites=[resid_post(3)],
    )
    assert found.word[0][2][0][0] == "so"
    assert found.prob[0, 2, 0, 0] > 0.5
    assert found.control_high[0, 2, 0, 0] < 0.3
    assert found.plain[0, 2, 0, 0] < 0.3
    assert found.lens_word == (tuple(shift.word[3]),)


def test_after_the_last_layer_it_says_what_the_logit_lens_says(organism, shift):
    found = patchscope(
        organism("bias-l3"), shift, inspection=Inspection(prompt=PROMPT), sites=[resid_post(5)]
    )
    for pos in range(3):
        assert set(found.word[0][pos]) == {found.lens_word[0][pos]}, "norms are taken off there"


def test_sites_where_nothing_moves_are_left_out_and_refused_by_name(organism, shift):
    pair = organism("bias-l3")
    found = patchscope(pair, shift, inspection=Inspection(prompt=PROMPT, scales=(1.0,)), n_random=1)
    assert found.site == ("resid_post.3", "resid_post.4", "resid_post.5")
    with pytest.raises(DirectionError, match=r"resid_post\.1.*resid_post\.3, "):
        patchscope(pair, shift, inspection=Inspection(prompt=PROMPT), sites=[resid_post(1)])


def test_the_same_seed_reads_the_same_and_chunks_change_nothing(organism, shift, tmp_path):
    pair = organism("bias-l3")
    given = {
        "inspection": Inspection(prompt=PROMPT, scales=(1.0, 2.0)),
        "sites": [resid_post(4)],
        "n_random": 3,
    }
    one = patchscope(pair, shift, **given)
    two = patchscope(pair, shift, execution=Execution(max_tokens=30), **given)
    torch.testing.assert_close(one.prob, two.prob, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(one.control, two.control, rtol=1e-4, atol=1e-6)
    assert not torch.equal(patchscope(pair, shift, seed=1, **given).control, one.control)
    read = Patchscope.load(one.save(tmp_path / "read"))
    assert torch.equal(read.prob, one.prob) and read.word == one.word


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"inspection": Inspection(prompt="cat -> cat")}, "cat -> cat"),
        ({"inspection": Inspection(prompt=PROMPT, scales=(0.0,))}, "above 0"),
        ({"n_random": 0}, "n_random 0"),
        ({"inspection": Inspection(prompt=PROMPT, top=6)}, "1 to 5"),
        ({"sites": []}, "names nothing"),
    ],
)
def test_what_cannot_be_read_is_refused_before_a_model_runs(
    organism, shift, monkeypatch, options, says
):
    def never(*_args, **_options):
        raise AssertionError("a model ran")

    monkeypatch.setattr("elicit.directions._patchscope._next", never)
    with pytest.raises(DirectionError, match=says):
        patchscope(
            organism("bias-l3"), shift, **{"inspection": Inspection(prompt=PROMPT), **options}
        )


def test_a_shift_of_another_base_is_refused(organism, shift):
    with pytest.raises(DirectionError, match="Measure the shift of this pair"):
        patchscope(organism("created"), shift, inspection=Inspection(prompt=PROMPT))
