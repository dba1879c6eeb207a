"""Rows hold exactly the tokens of the whole texts, and no more of them than the reads need."""

import random

import pytest
import torch

from elicit.tasks import Problem, Task, TaskError, encode_forced

PAD = 999


def characters(text):
    """One token a character, after BOS."""
    return [1, *(ord(character) for character in text)]


def words(text):
    """One token a word, after BOS; 2 for words not in the list."""
    known = ["Q", "A", "answer", "1", "2", "3", "4", "New", "York", "City", "Paris", ".", "?"]
    return [1, *(known.index(word) + 3 if word in known else 2 for word in text.split())]


def task_of(*problems):
    return Task(
        name="t",
        problems=tuple(
            Problem(id=f"p{place}", prompt=prompt, answer=candidates[0],
                    candidates=candidates if len(candidates) > 1 else None)
            for place, (prompt, *rest) in enumerate(problems)
            for candidates in [tuple(rest)]
        ),
    )  # fmt: skip


def items_of(rows):
    """Every item as its whole token sequence, put together from its reads."""
    found = {}
    for item, (problem, start) in enumerate(
        zip(rows.item_problem.tolist(), rows.item_start.tolist(), strict=True)
    ):
        reads = (rows.read_item == item).nonzero().squeeze(1).tolist()
        reads.sort(key=lambda read: int(rows.read_pos[read]))
        row = int(rows.read_row[reads[0]])
        assert int(rows.problem[row]) == problem
        assert all(int(rows.read_row[read]) == row for read in reads)
        assert [int(rows.read_pos[read]) for read in reads] == list(
            range(start - 1, start - 1 + len(reads))
        )
        tokens = [int(rows.read_token[read]) for read in reads]
        context = rows.ids[row, : start + len(reads) - 1].tolist()
        assert context[start:] == tokens[:-1]
        found[problem, int(rows.item_candidate[item])] = context[:start] + tokens
    return found


def test_twenty_candidates_of_one_token_cost_one_row_and_twenty_reads():
    letters = tuple("abcdefghijklmnopqrst")
    rows = encode_forced(task_of(("Q: ", *letters)), characters, PAD, n_positions=None)
    assert rows.ids.tolist() == [characters("Q: ")]
    assert rows.read_token.tolist() == [ord(letter) for letter in letters]
    assert rows.read_pos.tolist() == [3] * 20
    (batch,) = rows.batches(64)
    assert batch.slot_pos.tolist() == [3]


def test_a_row_that_begins_another_is_read_from_it():
    rows = encode_forced(
        task_of(("Q A", "Paris", "New York .", "New York City")), words, PAD, n_positions=None
    )
    assert rows.ids.shape == (1, 5)
    assert items_of(rows)[0, 0] == words("Q A Paris")
    assert items_of(rows)[0, 1] == words("Q A New York .")


def test_every_item_is_its_whole_text_whatever_the_task():
    rng = random.Random(0)
    for _ in range(60):
        problems = []
        for _ in range(rng.randint(1, 6)):
            prompt = "".join(rng.choices("xy ", k=rng.randint(0, 6))) + rng.choice("x y:")
            names = {"".join(rng.choices("ab", k=rng.randint(1, 3))) for _ in range(5)}
            problems.append(("q" + prompt, *sorted(names, key=lambda _: rng.random())))
        task = task_of(*problems)
        rows = encode_forced(task, characters, PAD, n_positions=None, end="\n")
        items = items_of(rows)
        for place, problem in enumerate(task.problems):
            space = "" if problem.prompt[-1] == " " else " "
            for candidate, name in enumerate(problem.candidates or (problem.answer,)):
                expected = characters(f"{problem.prompt}{space}{name}\n")
                assert items.pop((place, candidate)) == expected
        assert not items
        # No row is needless: none begins another one of its problem.
        kept = [
            (int(p), tuple(ids[:n].tolist()))
            for p, ids, n in zip(rows.problem, rows.ids, rows.length, strict=True)
        ]
        assert not any(
            one != other and one[0] == other[0] and one[1] == other[1][: len(one[1])]
            for one in kept
            for other in kept
        )
        assert len(set(kept)) == len(kept)


def test_exactly_one_item_of_each_problem_is_the_answer():
    task = task_of(("Q", "1", "2"), ("Q", "New York"), ("Q", "3", "1", "2"))
    rows = encode_forced(task, words, PAD, n_positions=None)
    assert rows.item_problem.tolist() == [0, 0, 1, 2, 2, 2]
    assert rows.item_is_answer.tolist() == [True, False, True, True, False, False]
    assert rows.has_candidates.tolist() == [True, False, True]
    assert rows.task_digest == task.digest
    assert rows.problem_id == ("p0", "p1", "p2")


def test_batches_hold_all_rows_once_within_the_limit_and_reads_in_order():
    rng = random.Random(1)
    problems = [
        ("q" * rng.randint(1, 30), *rng.sample("abcdef", k=3), "gg", "hh") for _ in range(40)
    ]
    rows = encode_forced(task_of(*problems), characters, PAD, n_positions=None)
    for limit in (1, 40, 100, 500, 10**6):
        batches = rows.batches(limit)
        assert torch.equal(torch.cat([b.row for b in batches]), torch.arange(len(rows.ids)))
        for batch in batches:
            assert batch.ids.numel() <= limit or len(batch.ids) == 1
            assert bool(batch.mask[0].all())
            assert batch.position_ids[0].tolist() == list(range(batch.ids.shape[1]))
            assert bool((batch.ids[batch.mask == 0] == PAD).all())
            assert len(
                set(zip(batch.slot_row.tolist(), batch.slot_pos.tolist(), strict=True))
            ) == len(batch.slot_row)
        read_row = torch.cat([b.row[b.slot_row[b.read_slot]] for b in batches])
        read_pos = torch.cat([b.slot_pos[b.read_slot] for b in batches])
        assert torch.equal(read_row, rows.read_row)
        assert torch.equal(read_pos, rows.read_pos)
        assert torch.equal(torch.cat([b.read_token for b in batches]), rows.read_token)
    with pytest.raises(ValueError, match="max_tokens is 0"):
        rows.batches(0)


def test_tokens_across_the_end_of_a_prompt_are_scored_for_every_candidate(encode_merging):
    task = task_of(("the answer is", "7.", "12.", "zz"), ("the city of Anna is", "Paris.", "Q"))
    rows = encode_forced(task, encode_merging, 1, n_positions=None)
    items = items_of(rows)
    for place, problem in enumerate(task.problems):
        prompt = encode_merging(problem.prompt)
        mine = rows.item_problem == place
        starts = rows.item_start[mine].unique().tolist()
        assert len(starts) == 1
        assert starts[0] < len(prompt)  # some token did run across
        for candidate, name in enumerate(problem.candidates or ()):
            whole = encode_merging(f"{problem.prompt} {name}")
            assert items[place, candidate] == whole
            assert whole[: starts[0]] == prompt[: starts[0]]


def test_only_the_candidate_is_scored_where_tokens_end_with_words(encode_words):
    task = task_of(
        ("the city of Bob is", "New York", "Paris", "New Delhi"), ("x = 3 ; y ? ", "7", "12")
    )
    rows = encode_forced(task, encode_words, 1, n_positions=None)
    first = encode_words(task.problems[0].prompt)
    assert rows.item_start[:3].tolist() == [len(first)] * 3
    # A prompt that ends in a space gives that space to the candidate's token.
    assert rows.item_start[3:].tolist() == [len(encode_words("x = 3 ; y ?"))] * 2


REFUSED = [
    (("Q", "4 4 4 4", "1"), {}, "it needs 5 tokens, and the model has 4 positions"),
    (("Q A . ?", "1", "2"), {}, "it needs 5 tokens, and the model has 4 positions"),
    (("Q", "Rome", "Paris"), {"unknown": lambda text: 2 in words(text)}, "does not know"),
    (("Rome ?", "1", "2"), {"unknown": lambda text: 2 in words(text)}, "does not know"),
    (("Q", "Rome", "Oslo"), {}, "'Rome' and 'Oslo' have the same tokens"),
    (("Q", "New York", "New York City"), {}, "'New York' begin those of 'New York City'"),
    (("Q", "New York City", "New"), {}, "'New' begin those of 'New York City'"),
]


@pytest.mark.parametrize(("problem", "options", "said"), REFUSED)
def test_a_problem_that_tokens_cannot_score_is_named(problem, options, said):
    task = task_of(("Q", "1", "2"), problem, ("Q", "1", "3"))
    with pytest.raises(TaskError) as caught:
        encode_forced(task, words, PAD, n_positions=4, **options)
    assert said in str(caught.value)
    assert [fault.where for fault in caught.value.faults] == ["problem 'p1'"]
    assert "1 of the 3 problems" in str(caught.value)


def test_an_end_tells_an_answer_from_one_that_goes_on():
    task = task_of(("Q", "1", "12"), ("Q", "2", "21", "212"))
    with pytest.raises(TaskError) as caught:
        encode_forced(task, characters, PAD, n_positions=None)
    assert {fault.where for fault in caught.value.faults} == {"problem 'p0'", "problem 'p1'"}
    rows = encode_forced(task, characters, PAD, n_positions=None, end="\n")
    assert items_of(rows)[0, 0] == characters("Q 1\n")
    assert rows.item_length.tolist() == [3, 4, 3, 4, 5]


def test_a_prompt_without_a_token_before_the_answer_is_refused():
    task = task_of(("Q", "1", "2"))
    with pytest.raises(TaskError, match="no token stands before"):
        encode_forced(task, lambda text: [hash(text) % 1000], PAD, n_positions=None)


def test_an_answer_without_tokens_is_refused():
    task = task_of(("Q", "1"))
    with pytest.raises(TaskError, match="'1' adds no token"):
        encode_forced(task, lambda text: [5, 6], PAD, n_positions=None)


def test_a_row_as_long_as_the_model_allows_is_taken():
    task = task_of(("Q", "1 2 3 4"))
    assert encode_forced(task, words, PAD, n_positions=5).ids.shape == (1, 5)
    with pytest.raises(TaskError):
        encode_forced(task, words, PAD, n_positions=4)
