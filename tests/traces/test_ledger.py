"""The ledger: what both models say of written thoughts, against plain code."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from elicit.pair import hugging_face_model
from elicit.runs import Execution
from elicit.tasks import Problem, Task
from elicit.texts import AnswerForm, StepRule
from elicit.traces import TraceError, given_thoughts, information, ledger, own_thoughts
from elicit.traces.reading import Readings
from tests.traces.made import FORM, STEPS


def test_every_number_of_a_token_is_that_of_plain_code(read_given):
    made = read_given("rl")
    book, pair = made.ledger, made.pair
    for k in (0, 7, 30):
        item = made.thoughts.items[k]
        ids = pair.alignment.plain(f"{item.problem.prompt} {item.text}")
        start = len(pair.alignment.plain(item.problem.prompt))
        here, rows = book.tokens_of(k), []
        for m, model in enumerate((pair.base, pair.post)):
            with torch.no_grad():
                logits = hugging_face_model(model)(torch.tensor([ids])).logits[0]
            log_p = logits[:, : pair.alignment.d_vocab].double().log_softmax(-1)
            at = log_p[start - 1 : -1]
            rows.append(at)
            written = torch.tensor(ids[start:])
            own = at.gather(-1, written[:, None])[:, 0]
            assert torch.equal(book.token_id[here], written)
            torch.testing.assert_close(book.log_prob[m, here].double(), own, atol=1e-5, rtol=1e-5)
            entropy = -(at.exp() * at).sum(-1)
            torch.testing.assert_close(
                book.entropy[m, here].double(), entropy, atol=1e-5, rtol=1e-5
            )
            top = -at.topk(20, dim=-1).values.mean(-1)
            torch.testing.assert_close(book.peakedness[m, here].double(), top, atol=1e-4, rtol=1e-5)
            rank = (at > own[:, None]).sum(-1)
            assert (book.rank[m, here] == rank).float().mean() > 0.95  # ties within rounding
            before = log_p[: start - 1].gather(-1, torch.tensor(ids[1:start])[:, None]).sum()
            torch.testing.assert_close(book.prompt_log_prob[m, k], before, atol=1e-4, rtol=1e-5)
        p, q = rows
        mixed = torch.logaddexp(p, q) - np.log(2)
        jsd = ((p.exp() * (p - mixed)).sum(-1) + (q.exp() * (q - mixed)).sum(-1)) / 2
        torch.testing.assert_close(book.jsd[here].double(), jsd, atol=1e-5, rtol=1e-4)
        kl = (p.exp() * (p - q)).sum(-1)
        torch.testing.assert_close(book.kl_base_post[here].double(), kl, atol=1e-5, rtol=1e-4)


def test_answers_at_a_cut_are_those_of_a_forward_over_the_prefix(read_given):
    made = read_given("rl")
    book, pair = made.ledger, made.pair
    for k in (3, 20):
        item, lanes = made.thoughts.items[k], book.lanes_of(k)
        for lane in range(lanes.start, lanes.stop):
            prefix = f"{item.problem.prompt} {item.text[: int(book.lane_char[lane])]}".strip()
            ids = pair.alignment.plain(f"{prefix} answer")
            digits = [pair.alignment.plain(f"{prefix} answer {c}")[-1] for c in book.candidates[k]]
            for m, model in enumerate((pair.base, pair.post)):
                with torch.no_grad():
                    logits = hugging_face_model(model)(torch.tensor([ids])).logits[0, -1]
                log_p = logits.double().log_softmax(-1)[digits]
                torch.testing.assert_close(
                    book.candidate_log_prob[m, lane], log_p, atol=1e-5, rtol=1e-5
                )


def test_a_model_beside_itself_differs_nowhere(organism):
    pair = organism("identity")
    made = given_thoughts(_task(pair), FORM)
    book = ledger(pair, made, form=FORM, steps=STEPS)
    assert float(book.jsd.max()) == 0 and float(book.kl_base_post.max()) == 0
    assert torch.equal(book.log_prob[0], book.log_prob[1])
    assert torch.equal(book.candidate_log_prob[0], book.candidate_log_prob[1])
    gain = information(pair, Readings.of_given(made, book))
    assert float(gain.difference.value.abs().max()) == 0


def test_small_chunks_and_a_small_budget_of_memory_change_nothing_beyond_rounding(read_given):
    made = read_given("rl")
    few = made.thoughts.only([item.problem.id for item in made.thoughts.items[:8]])
    wide = ledger(made.pair, few, form=FORM, steps=STEPS)
    narrow = ledger(
        made.pair, few, form=FORM, steps=STEPS, execution=Execution(max_tokens=60, memory=2**17)
    )
    for name in ("log_prob", "entropy", "jsd", "candidate_log_prob"):
        torch.testing.assert_close(getattr(wide, name), getattr(narrow, name), atol=2e-6, rtol=1e-5)


def test_every_step_written_twice_leaves_the_gain_and_halves_it_per_step(read_given):
    """Doubling is made in the ledger itself: a reader that learns nothing from a repetition."""
    made = read_given("rl")
    book = made.ledger
    lanes = torch.cat(
        [
            torch.tensor([s.start, *(i for i in range(s.start + 1, s.stop) for _ in (0, 1))])
            for s in (book.lanes_of(k) for k in range(len(book)))
        ]
    )
    doubled = replace(
        book,
        lane_thought=book.lane_thought[lanes],
        lane_at=book.lane_at[lanes],
        lane_char=book.lane_char[lanes],
        candidate_log_prob=book.candidate_log_prob[:, lanes],
    )
    once = made.information
    twice = information(made.pair, Readings.of_given(made.thoughts, doubled))
    assert torch.equal(once.of("gain"), twice.of("gain"))
    torch.testing.assert_close(once.of("gain per step"), 2 * twice.of("gain per step"))


def test_a_task_without_traces_and_a_trace_without_a_thought_are_refused():
    bare = Task(name="t", problems=tuple(_problem(i, trace=None) for i in range(3)))
    with pytest.raises(TraceError) as caught:
        given_thoughts(bare, FORM)
    assert "3 of 3" in str(caught.value)
    empty = Task(name="t", problems=tuple(_problem(i, trace="answer 7 .") for i in range(3)))
    with pytest.raises(TraceError) as caught:
        given_thoughts(empty, FORM)
    assert "before the answer" in str(caught.value)


def test_a_trace_ends_before_its_lead_in_and_its_answer_is_read_behind_it():
    task = Task(
        name="t",
        problems=tuple(_problem(i, trace=f"so b = 3 + 4 = 7 ; answer {i} .") for i in range(2)),
    )
    found = given_thoughts(task, FORM)
    assert [item.text for item in found.items] == ["so b = 3 + 4 = 7 ;"] * 2
    assert [item.answer for item in found.items] == ["0", "1"]


def test_thoughts_of_another_task_are_refused(organism):
    from elicit.rollouts import Generation, rollouts

    pair = organism("rl")
    one, other = _task(pair, 4), _task(pair, 5)
    written = rollouts(pair.side("post"), one, generation=Generation(max_new_tokens=24))
    with pytest.raises(TraceError):
        own_thoughts(other, written, FORM, source="post")
    found = own_thoughts(one, written, FORM, source="post")
    assert all(item.text.startswith("so") for item in found.items)


def test_tokens_cut_a_thought_at_every_word(read_given):
    made = read_given("rl")
    few = made.thoughts.only([item.problem.id for item in made.thoughts.items[:3]])
    book = ledger(made.pair, few, form=FORM, steps=StepRule.parse("tokens:1"))
    for k, item in enumerate(few.items):
        n = len(item.text.split())
        assert book.lane_at[book.lanes_of(k)].tolist() == list(range(n + 1))


def _problem(i: int, trace: str | None) -> Problem:
    return Problem(
        id=str(i),
        prompt="Q a = 3 ; b = a + 4 ; b ? A",
        answer=str(i),
        candidates=tuple("0123456789"),
        trace=trace,
    )


def _task(pair, n: int = 12) -> Task:
    from elicit import organisms
    from elicit.tasks import load_task

    return load_task(organisms.resolve("organism:rl").problems, name="problems").subset(n, seed=0)


def test_a_right_answer_that_is_no_candidate_is_named(organism):
    pair = organism("rl")
    made = given_thoughts(_task(pair), FORM)
    pools = {item.problem.id: ("1", "2") for item in made.items}
    with pytest.raises(TraceError) as caught:
        ledger(pair, made, form=AnswerForm(lead_in="answer"), steps=STEPS, candidates=pools)
    assert "not among its candidates" in str(caught.value)
