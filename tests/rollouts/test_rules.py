"""Logit rules: one model at the ends of the dial, the written formula between, own prompts."""

from dataclasses import replace

import pytest
import torch

from elicit.edits import edited
from elicit.organisms import resolve
from elicit.pair import ModelPair, Side, load_pair
from elicit.rollouts import (
    Contrast,
    Dial,
    Generation,
    LogitRule,
    Proxy,
    RolloutError,
    Rollouts,
    resume,
    rollouts,
    weighted,
)
from elicit.runs import Execution, RunDirectory
from elicit.tasks import load_task
from tests.checkpoints import CHAT_TEMPLATE, default_words
from tests.rollouts.made import GENERATED, same, task_of

DRAWN = Generation(stop_ids=(2, 5), max_new_tokens=8, batch_size=4, temperature=1.0, n_samples=2)
GREEDY = Generation(stop_ids=(2, 5), max_new_tokens=8, batch_size=4)


def written(side: Side, rule: LogitRule | None = None, generation=DRAWN, **options) -> Rollouts:
    return rollouts(side, task_of(), generation=generation, rule=rule, **options)


def ends(pair: ModelPair) -> tuple[Side, Side]:
    return pair.side("base"), pair.side("post")


@pytest.fixture(scope="session")
def expert(written_pair):
    """A pair of another architecture, with more rows of padding and a chat template."""
    return written_pair("gpt2", d_vocab=80, chat_template=CHAT_TEMPLATE)


@pytest.fixture(scope="session")
def written_pair(written):
    def load(architecture: str, **options) -> ModelPair:
        return load_pair(*(written(architecture, seed=seed, **options) for seed in (3, 4)))

    return load


@pytest.mark.parametrize("generation", [GREEDY, DRAWN], ids=["greedy", "drawn"])
def test_the_dial_is_one_model_at_0_and_the_other_at_1_token_for_token(paired, generation):
    base, post = ends(paired("llama"))
    alone = [written(side, generation=generation) for side in (base, post)]
    dialled = [written(base, Dial(towards=post, a=a), generation) for a in (0.0, 1.0)]
    assert not same(*alone)
    assert all(same(*two) for two in zip(alone, dialled, strict=True))
    # Not only the tokens: the logits are those of one model, to the bit.
    logits = [torch.randn(3, 7), torch.randn(3, 7)]
    assert torch.equal(Dial(towards=post, a=1.0).combine(logits), logits[1])
    assert torch.equal(Dial(towards=post, a=0.0).combine(logits[:1]), logits[0])
    assert Dial(towards=post, a=0.0).models == ()


def test_no_difference_is_added_at_0_and_none_of_a_model_with_itself(paired):
    base, post = ends(paired("llama"))
    plain = written(base)
    assert same(written(base, Proxy(expert=post, antiexpert=base, a=0.0)), plain)
    assert same(written(base, Dial(towards=base, a=0.5)), plain)
    still = Proxy(expert=post, antiexpert=post, a=3.0, unpaired=True)
    assert same(written(base, still), plain)


def by_formula(side: Side, rule, rows: Rollouts, others: list[tuple[Side, bool]]) -> list[int]:
    """Greedy tokens of the first text, every model read from its start, without a cache."""
    first = task_of().problems[0]
    models = [(side, False), *others]
    prompts = [s.alignment.prompt(first.prompt, templated=own) for s, own in models]
    text: list[int] = []
    while len(text) < GREEDY.max_new_tokens and not set(text) & set(rows.sampling.stop_ids):
        with torch.no_grad():
            logits = [
                s.bridge.original_model(torch.tensor([ids + text])).logits[0, -1, :64].double()  # pyright: ignore
                for (s, _), ids in zip(models, prompts, strict=True)
            ]
        text.append(int(rule(*logits).argmax()))
    return text


def test_a_proxy_adds_what_training_changed_and_reads_its_own_template(paired, expert):
    base = paired("llama").side("base")
    anti, post = ends(expert)
    rule = Proxy(expert=post, antiexpert=anti, a=1.5, expert_templated=True)
    found = written(base, rule, GREEDY)
    others = [(post, True), (anti, False)]
    assert found.ids(0) == by_formula(base, lambda b, e, n: b + 1.5 * (e - n), found, others)
    plain = replace(rule, expert_templated=False)
    assert not same(written(base, plain, GREEDY), found)
    assert found.sampling.rule == "proxy(a=1.5)"


def test_a_contrast_writes_only_what_the_expert_finds_plausible(paired):
    base, post = ends(paired("llama"))

    def formula(e, n):
        score = 1.5 * e - 0.5 * n
        return torch.where(e.softmax(-1) >= 0.3 * e.softmax(-1).max(), score, -torch.inf)

    found = written(post, Contrast(amateur=base, plausible=0.3), GREEDY)
    assert found.ids(0) == by_formula(post, formula, found, [(base, False)])
    # Where only the most probable token is plausible, what is drawn is the expert's greedy text.
    only, greedy = (
        written(post, Contrast(amateur=base, plausible=1.0)),
        written(post, generation=GREEDY),
    )
    assert [only.ids(row) for row in range(10)] == [greedy.ids(row // 2) for row in range(10)]


def test_texts_do_not_depend_on_the_batch(paired, expert):
    base, (anti, post) = paired("llama").side("base"), ends(expert)
    rule = Proxy(expert=post, antiexpert=anti, expert_templated=True)
    together = written(base, rule, replace(DRAWN, batch_size=64))
    assert same(written(base, rule, replace(DRAWN, batch_size=1)), together)
    assert same(written(base, rule, replace(DRAWN, batch_size=3)), together)
    assert len({tuple(together.ids(row)) for row in range(len(together))}) > 5


def test_a_rule_goes_on_from_a_forced_prefix(paired):
    base, post = ends(paired("llama"))
    rule = Dial(towards=post, a=0.5)
    whole = written(base, rule)
    # Both samples of a problem begin alike only where they were told to.
    first = {p.id: whole.ids(2 * i)[:1] for i, p in enumerate(task_of()) if p.id in ("p0", "p3")}
    forced = written(base, rule, prefixes=first)
    assert all(forced.ids(row) == whole.ids(row) for row in (0, 6))
    with pytest.raises(RolloutError, match="written by the rule"):
        resume(base, task_of(), whole, max_new_tokens=9)


def test_a_checkpoint_holds_for_one_rule_and_one_set_of_weights(paired, expert, tmp_path):
    base, post = ends(paired("llama"))
    anti, other = ends(expert)
    rules = [
        Dial(towards=post, a=0.5),
        Dial(towards=post, a=0.25),
        Dial(towards=other, a=0.5),
        Proxy(expert=other, antiexpert=anti),
        Proxy(expert=other, antiexpert=anti, expert_templated=True),
    ]
    short = replace(GREEDY, batch_size=64, max_new_tokens=3)
    with RunDirectory.open(tmp_path / "run", kind="rollouts", arguments={}, identity={}) as run:
        kept = Execution(checkpoint=run)
        first = [written(base, rule, short, execution=kept) for rule in rules]
        assert (run.n_computed, run.n_read) == (len(rules), 0)
        again = [written(base, rule, short, execution=kept) for rule in rules]
        assert (run.n_computed, run.n_read) == (len(rules), len(rules))
    assert all(same(*two) for two in zip(first, again, strict=True))


def test_edits_reach_the_writing_model_and_are_refused_on_the_others(paired):
    base, post = ends(paired("llama"))
    rule = Dial(towards=post, a=0.5)
    with edited(base.bridge, [GENERATED]):
        steered = written(base, rule)
    assert not same(steered, written(base, rule))
    with pytest.raises(RolloutError, match="is under edits"), edited(post.bridge, [GENERATED]):
        written(base, rule)


def test_other_vocabularies_are_refused_or_cut_to_what_is_shared(paired, written_pair):
    base = paired("llama").side("base")
    words = default_words()
    words[10], words[11] = words[11], words[10]
    strange = written_pair("llama", words=words).side("post")
    with pytest.raises(RolloutError, match=r"2 ids .* \(id 14 is 'for' here and 'on' there\)"):
        written(base, Dial(towards=strange, a=0.5))
    found = written(base, Dial(towards=strange, a=0.5, vocab="shared"))
    assert not {14, 15} & set(found.written.tolist())


def test_impossible_rules_are_refused(paired, expert):
    base, post = ends(paired("llama"))
    anti, other = ends(expert)
    for experts in ((post, anti), (base, post), (other, post)):
        with pytest.raises(RolloutError, match="not what training added"):
            Proxy(expert=experts[0], antiexpert=experts[1])
    Proxy(expert=post, antiexpert=anti, unpaired=True)
    for a in (float("nan"), float("inf")):
        with pytest.raises(RolloutError, match="must be finite"):
            Dial(towards=post, a=a)
    for options in ({"beta": -1.0}, {"plausible": 0.0}, {"plausible": 1.5}):
        with pytest.raises(RolloutError, match="Pass beta of 0 or more"):
            Contrast(amateur=base, **options)
    with pytest.raises(RolloutError, match="nothing would decide"):
        weighted([torch.zeros(1, 2)], [0.0])
    with pytest.raises(RolloutError, match="largest logit of a row"):
        written(base, Dial(towards=post, a=1e39))


def test_a_token_that_one_model_rules_out_stays_ruled_out():
    inf = float("inf")
    b, p = torch.tensor([[1.0, -inf, 2.0]]), torch.tensor([[-inf, -inf, 1.0]])
    assert weighted([b, p], [-1.0, 2.0]).tolist() == [[-inf, -inf, 0.0]]
    assert weighted([b, p], [1.0, 0.0]).tolist() == b.tolist()


@pytest.mark.slow
def test_the_dial_closes_the_gap_of_a_planted_pair_at_a_threshold(organism, tasks_of):
    pair = organism("rl")
    task = tasks_of("rl")[1].task
    base, post = ends(pair)
    right = [
        float(
            rollouts(base, task, rule=Dial(towards=post, a=a), generation=Generation())
            .correct.double()
            .mean()
        )
        for a in (0.25, 0.5, 1.0)
    ]
    assert right[0] < 0.4
    assert min(right[1:]) > 0.95


@pytest.mark.slow
def test_a_planted_skill_is_brought_out_by_the_other_architecture_s_training(organism):
    host = organism("b-rl").side("base")
    task = load_task(resolve("organism:b-rl").problems).subset(40, seed=0)
    anti, expert = ends(organism("rl"))
    rule = Proxy(expert=expert, antiexpert=anti, vocab="shared")
    with pytest.raises(RolloutError, match="200 ids"):
        rollouts(host, task, rule=replace(rule, vocab="exact"))
    assert float(rollouts(host, task, rule=rule).correct.double().mean()) > 0.95
    # Training that created the skill in its own base is no switch: nothing to bring out elsewhere.
    lacking = organism("created").side("base")
    found = rollouts(lacking, task, rule=Proxy(expert=expert, antiexpert=anti, vocab="exact"))
    assert float(found.correct.double().mean()) < 0.4
