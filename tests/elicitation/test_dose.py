"""A dose curve shows what the direction does, and what any push of its size would do."""

from dataclasses import replace

import pytest
import torch

from elicit import organisms
from elicit.directions import Direction, DirectionError, diff_mean, matched_controls
from elicit.edits import EditError, at, last
from elicit.elicitation import DoseCurve, ElicitationError, Goal, direction_arms, dose_curve
from elicit.elicitation.coherence import Reference, coherent, log_probs, loops, text_log_probs
from elicit.elicitation.figures import dose_figure
from elicit.pair import hugging_face_model
from elicit.results import Estimate
from elicit.rollouts import Generation, RolloutError, rollouts
from elicit.sites import resid_post
from elicit.stats import NoGapError
from elicit.tasks import Task, load_task
from tests.checkpoints import D_MODEL
from tests.folded import folded
from tests.pairs import header_pairs
from tests.rollouts.made import STOPS, task_of

SITE = resid_post(1)


def made(vector=None, site=SITE, **fields):
    generator = torch.Generator().manual_seed(0)
    vector = 3 * torch.randn(D_MODEL, generator=generator) if vector is None else vector
    told = {"model": "m", "model_digest": "d", "how": "by hand", "position": "any",
            "norm": 1.0, "resid_norm": 1.0, "n": 1}  # fmt: skip
    return Direction(vector=vector, site=site, **{**told, **fields})


def curve(pair, task=None, direction=None, where=None, controls=None, arms=None, **options):
    options = folded(
        options, strengths=[0.0, 1.0], stop_ids=STOPS, max_new_tokens=8, n_resamples=200
    )
    if arms is None:
        arms = direction_arms(direction or made(), where=where or last(), controls=controls)
    return dose_curve(pair.side("base"), task or task_of(), arms, **options)


@pytest.fixture(scope="module")
def planted(organism, asked):
    """The directions of `rl`'s base, and problems that they were not found on."""
    pair = organism("rl")
    fit, test = asked.split([0.6, 0.4], seed=0)
    layers = [resid_post(layer) for layer in range(pair.n_layers)]
    found = diff_mean(
        pair.side("base"),
        header_pairs(fit),
        sites=layers,
    )
    return pair, found, test


def steered(planted, layer, controls=None, strengths=(0.0, 1.0)):
    pair, found, test = planted
    return dose_curve(
        pair.side("base"),
        test,
        direction_arms(found.at(resid_post(layer)), where=last(), controls=controls),
        strengths=strengths,
        goal=Goal(target=pair.side("post"), markers={"trace": lambda text: text.startswith("so")}),
        generation=Generation(max_new_tokens=90, batch_size=1024),
    )


@pytest.mark.slow
@pytest.mark.parametrize("layer", [4, 5])
def test_where_the_decision_is_written_the_direction_closes_the_gap_and_no_control_does(
    planted, layer
):
    """In world a the base's header has its say from layer 4 on: there, and not before."""
    found = steered(planted, layer)
    assert found.goal[0] - found.unsteered[0] > 0.6
    assert (found.share.value[:, 0, 1] >= 0.9).all() and (found.share.low[:, 0, 1] > 0.7).all()
    assert (found.share.value[:, 1:, 1].abs() <= 0.1).all()
    assert (found.effect.low[:, 0, 1] > 0).all()
    # The base writes such traces itself: they are more probable than its own bare answers.
    assert found.log_prob.value[0, 1] > found.unsteered_log_prob
    assert found.coherent.value[0, 1] == found.unsteered_coherent == 1
    assert not found.truncated[0].any()


@pytest.mark.slow
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_before_that_the_same_header_s_direction_does_nothing(planted, layer):
    _, found, _ = planted
    control = matched_controls(found.at(resid_post(layer)), n_random=1, shuffled=False)
    assert (steered(planted, layer, control).share.value.abs() <= 0.05).all()


@pytest.mark.slow
def test_an_early_layer_s_direction_does_nothing_at_the_late_one(planted):
    _, found, _ = planted
    early = [found.at(resid_post(layer)) for layer in (0, 1, 2)]
    control = matched_controls(found.at(resid_post(4)), n_random=0, shuffled=False, others=early)
    result = steered(planted, 4, control)
    assert (result.share.value[:, 0, 1] >= 0.9).all()
    assert (result.share.value[:, 1:].abs() <= 0.1).all()


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_strength_0_is_the_unsteered_model_in_every_number(paired, temperature):
    options = {"temperature": temperature, "n_samples": 2 if temperature else 1}
    found = curve(paired("llama"), strengths=[1.0, 0.0], **options)
    rate, effect = found.rate.value[:, :, 1], found.effect[:, :, 1]
    assert torch.equal(rate, found.unsteered[:, None].expand_as(rate))
    for ends in (effect.value, effect.low, effect.high):
        assert not ends.any()
    assert (found.coherent.value[:, 1] == found.unsteered_coherent).all()
    log_prob = found.log_prob.value
    assert torch.equal(log_prob[:, 1], log_prob[:1, 1].expand(len(found.arm)))
    assert log_prob[0, 1] == pytest.approx(found.unsteered_log_prob, abs=1e-12)
    assert found.gap.clear.tolist() == [False] and found.share.value.isnan().all()


def test_the_log_prob_of_a_text_is_that_of_single_forwards(paired):
    pair = paired("gpt2")
    generation = Generation(stop_ids=STOPS, max_new_tokens=7, temperature=1.0)
    found = rollouts(pair.side("base"), task_of(), generation=generation)
    rows = [(tuple(found.prompt_ids(i)), tuple(found.ids(i))) for i in range(len(found))]
    rows.append(rows[0])
    each = text_log_probs(pair.base, rows, pad_id=pair.alignment.pad_id, max_tokens=24)
    for (prompt, text), value in zip(rows, each.tolist(), strict=True):
        with torch.no_grad():
            logits = hugging_face_model(pair.base)(torch.tensor([prompt + text])).logits[0]
        log_probs = logits.log_softmax(-1)[len(prompt) - 1 : -1]
        wanted = log_probs[range(len(text)), list(text)].mean().item()
        assert value == pytest.approx(wanted, abs=1e-5)


def test_coherent_text_does_not_loop_and_is_probable_under_an_unsteered_model(paired):
    pair = paired("gpt2")
    generation = Generation(stop_ids=(), max_new_tokens=12, temperature=1.0)
    sides = pair.side("base"), pair.side("post")
    texts = [rollouts(side, task_of(), generation=generation) for side in sides]
    base, post = (Reference.of(*each) for each in zip(sides, texts, strict=True))
    loss = base.log_prob - log_probs(sides[0], texts[1])
    looping = torch.tensor([loops(texts[1].ids(row)) for row in range(len(texts[1]))])
    for limit in (loss.min().item() - 1e-9, loss.median().item(), loss.max().item()):
        expected = ((loss <= limit) & ~looping).double()
        assert torch.equal(coherent(texts[1], [base], max_loss=limit), expected)
    # What one of the two models finds probable is coherent, whatever the other finds.
    both = coherent(texts[1], [base, post], max_loss=0.5)
    assert torch.equal(both, coherent(texts[1], [post, base], max_loss=0.5))
    each = [coherent(texts[1], [one], max_loss=0.5) for one in (base, post)]
    assert torch.equal(both, torch.maximum(*each))
    assert loops([7, 8] * 8) and not loops(range(16)) and not loops([7, 7, 7])


def test_controls_have_the_direction_s_norm_and_no_other_likeness():
    direction = made()
    other = made(torch.arange(1.0, D_MODEL + 1), resid_post(0))
    found = matched_controls(direction, others=[other], seed=1)
    assert [one.how for one in found] == [
        *(f"random {i}" for i in range(4)), "shuffled", "by hand at resid_post.0"
    ]  # fmt: skip
    for one in found:
        assert one.vector.norm() == pytest.approx(direction.vector.norm().item(), rel=1e-5)
        assert one.site == direction.site and abs(one.cosine(direction)) < 0.6
    assert torch.equal(found[4].vector.sort().values, direction.vector.sort().values)
    assert found[5].cosine(other) == pytest.approx(1)
    again = matched_controls(direction, others=[other], seed=1)
    assert all(torch.equal(a.vector, b.vector) for a, b in zip(found, again, strict=True))
    assert not torch.equal(matched_controls(direction, seed=2)[0].vector, found[0].vector)


def test_saved_and_loaded_it_draws_controls_in_grey(paired, tmp_path):
    found = curve(paired("llama"), goal=Goal(markers={"long": lambda text: len(text) > 10}))
    found.save(tmp_path)
    loaded = DoseCurve.load(tmp_path)
    assert torch.equal(loaded.rate.value, found.rate.value) and loaded.metric == (
        "accuracy",
        "long",
    )
    figure = dose_figure(loaded, "long")
    colors = [trace.line.color for trace in figure.data]
    assert colors.count("#868f99") == 10 and colors.count("#0072b2") == 2
    assert "steered at " in figure.layout.annotations[0].text
    assert "last()" not in figure.layout.annotations[0].text
    with pytest.raises(ElicitationError, match="'short' was not measured"):
        dose_figure(loaded, "short")


def test_the_control_with_the_largest_effect_is_named_where_it_has_it(paired):
    found = curve(paired("llama"))
    value = found.unsteered[:, None, None].expand_as(found.rate.value).clone()
    none = replace(found, rate=Estimate(value=value, low=value, high=value))
    place = found.kind.index("control") + 1
    value = value.clone()
    value[0, place, -1] += 0.5
    one = replace(found, rate=Estimate(value=value, low=value, high=value))
    for drawn, names in ((one, {found.arm[place]}), (none, set())):
        notes = {note.text for note in dose_figure(drawn).layout.annotations}
        assert notes & set(found.arm) == names


def test_models_without_a_gap_have_no_share_of_it(organism, asked):
    pair = organism("identity")
    direction = made(torch.ones(96), resid_post(4))
    with pytest.raises(NoGapError, match="includes 0"):
        dose_curve(
            pair.side("base"), asked.subset(6, seed=0),
            direction_arms(direction, where=last()), strengths=[1.0],
            goal=Goal(target=pair.side("post")),
            generation=Generation(max_new_tokens=90, batch_size=1024),
        )  # fmt: skip


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"strengths": []}, RolloutError, "strengths is empty"),
        ({"strengths": [1.0, 1.0]}, RolloutError, "twice"),
        ({"strengths": [torch.inf]}, RolloutError, "finite"),
        ({"where": at(9)}, EditError, "position 9"),
        ({"direction": made(torch.ones(7))}, EditError, "7"),
        ({"direction": made(site=resid_post(50))}, Exception, "layer 50"),
        (
            {"controls": [replace(made(), how="c", vector=torch.ones(D_MODEL))]},
            ElicitationError,
            "norm",
        ),
        ({"goal": {"markers": {"accuracy": bool}}}, ElicitationError, "accuracy"),
        ({"task": Task(name="one", problems=task_of(1).problems)}, ElicitationError, "1 problem"),
        ({"arms": ()}, ElicitationError, "the arms are none"),
        ({"arms": direction_arms(made(), where=last())[1:]}, ElicitationError, "one that is steer"),
        ({"arms": direction_arms(made(), where=last()) * 2}, ElicitationError, "one that is steer"),
        ({"controls": [made(), made()]}, ElicitationError, "called 'by hand'"),
        ({"goal": {"wordings": {"target": task_of()}}}, ElicitationError, "called 'target'"),
        ({"goal": {"wordings": {"other": task_of(1)}}}, ElicitationError, "lacks problem"),
    ],
)
def test_what_would_say_nothing_is_refused_before_a_text_is_written(
    paired, monkeypatch, options, error, says
):
    def never(*_args, **_options):
        raise AssertionError("a text was written")

    monkeypatch.setattr("elicit.elicitation._unsteered.rollouts", never)
    monkeypatch.setattr("elicit.elicitation.dose.dose_rollouts", never)
    with pytest.raises(error, match=says):
        goal = Goal(**options.pop("goal", {}))
        curve(paired("llama"), goal=goal, **options)


def test_no_control_at_all_is_refused():
    with pytest.raises(DirectionError, match="no control"):
        matched_controls(made(), n_random=0, shuffled=False)
    with pytest.raises(DirectionError, match="7 entries"):
        matched_controls(made(), others=[made(torch.ones(7))])


@pytest.mark.slow
def test_a_direction_that_tells_the_sides_apart_perfectly_may_do_nothing(organism):
    """World b, layer 5: AUROC 1 on held-out problems and no effect; one layer on, all of it."""
    pair = organism("b-when-l5")
    asked = load_task(organisms.resolve("organism:b-when-l5").problems)
    fit, test = asked.split([0.5, 0.5], seed=0)
    test = test.subset(30, seed=0)
    sites = [resid_post(5), resid_post(6)]
    found = diff_mean(
        pair.side("base"),
        header_pairs(fit),
        sites=sites,
    )
    assert (found.auroc.value == 1).all() and (found.reliability > 0.9).all()
    share = []
    for site in sites:
        direction = found.at(site)
        control = matched_controls(direction, n_random=1, shuffled=False)
        curve = dose_curve(
            pair.side("base"), test,
            direction_arms(direction, where=last(), controls=control), strengths=[1.0],
            goal=Goal(target=pair.side("post")),
            generation=Generation(max_new_tokens=90, batch_size=1024),
        )  # fmt: skip
        share.append(curve.share.value[0, :, 0].tolist())
    assert share[0] == [0.0, 0.0]
    assert share[1] == [1.0, 0.0]
