"""Scores equal those of the plainest loop over candidates, however rows are shared and batched."""

import copy
import math
import os
import random

import pytest
import torch

from elicit.tasks import (
    Problem,
    ReadScores,
    Task,
    encode_forced,
    read_scores,
    reduce_scores,
    score_forced,
)

CHOICES = Task(
    name="choices",
    problems=(
        Problem(id="one-token", prompt="x = 3 ; x ?", answer="7", candidates=("3", "7", "4")),
        Problem(id="shared", prompt="the city of Bob is", answer="New York",
                candidates=("New Delhi", "New York", "Paris", "x")),
        Problem(id="space", prompt="the answer is ", answer="12.", candidates=("7.", "71.", "12.")),
        Problem(id="open", prompt="the city of Anna is", answer="Paris."),
        Problem(id="long", prompt="so " * 9 + "the end is", answer="zzz", candidates=("7", "zzz")),
    ),
)  # fmt: skip


def naive(model, encode, problem):
    """Log-probability and greedy agreement of each candidate: one forward each, no padding."""
    space = "" if problem.prompt[-1] == " " else " "
    texts = [problem.prompt + space + c for c in problem.candidates or (problem.answer,)]
    rows = [encode(text) for text in texts]
    start = len(os.path.commonprefix([encode(problem.prompt), *rows]))
    found = []
    for row in rows:
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([row])).logits[0].double()
        targets = torch.tensor(row[start:])
        predicted = logits[start - 1 : -1]
        log_probs = predicted.log_softmax(-1).gather(1, targets[:, None]).squeeze(1)
        found.append(
            (float(log_probs.sum()), bool((predicted.argmax(-1) == targets).all()), log_probs)
        )
    return found


@pytest.mark.parametrize("tokens", ["words", "merging"])
def test_scores_equal_a_plain_loop_over_candidates(model, logits_of, tokens, request):
    encode = request.getfixturevalue(f"encode_{tokens}")
    rows = encode_forced(CHOICES, encode, 1, n_positions=96)
    scores = score_forced(logits_of, rows, max_tokens=120)
    assert len(rows.ids) < len(rows.item_problem)
    items = iter(scores.item_log_prob.tolist())
    for place, problem in enumerate(CHOICES.problems):
        found = naive(model, encode, problem)
        sums = [log_prob for log_prob, _, _ in found]
        assert [next(items) for _ in found] == pytest.approx(sums, abs=1e-5)
        right = problem.candidates.index(problem.answer) if problem.candidates else 0
        value, greedy, log_probs = found[right]
        assert float(scores.answer_log_prob[place]) == pytest.approx(value, abs=1e-5)
        per_token = float(scores.answer_log_prob_per_token[place])
        assert per_token == pytest.approx(float(log_probs.mean()), abs=1e-5)
        if problem.candidates:
            total = math.log(math.fsum(math.exp(one) for one in sums))
            others = sums[:right] + sums[right + 1 :]
            assert float(scores.normalised_log_prob[place]) == pytest.approx(
                value - total, abs=1e-5
            )
            assert float(scores.margin[place]) == pytest.approx(value - max(others), abs=1e-5)
            assert bool(scores.correct[place]) == (value > max(others))
        else:
            assert float(scores.normalised_log_prob[place]) == pytest.approx(value, abs=1e-5)
            assert bool(scores.correct[place]) == greedy
    assert torch.equal(scores.probability, scores.normalised_log_prob.exp())


def test_batching_and_padding_do_not_change_a_score(logits_of, encode_words):
    alone = score_forced(
        logits_of, encode_forced(CHOICES, encode_words, 1, n_positions=96), max_tokens=1
    )
    for pad_id, max_tokens in ((1, 10**6), (77, 60), (0, 33)):
        rows = encode_forced(CHOICES, encode_words, pad_id, n_positions=96)
        other = score_forced(logits_of, rows, max_tokens=max_tokens)
        assert torch.allclose(other.item_log_prob, alone.item_log_prob, atol=1e-5, rtol=0)
        assert torch.equal(other.correct, alone.correct)


def test_candidates_read_from_one_row_equal_a_row_each_bit_for_bit(logits_of, encode_words):
    names = ("7", "3", "4", "x", "y")
    prompt = "x = 3 ; y = x + 4 ; y ? answer"
    together = Task(
        name="t", problems=(Problem(id="a", prompt=prompt, answer="7", candidates=names),)
    )
    apart = Task(name="t", problems=tuple(Problem(id=n, prompt=prompt, answer=n) for n in names))
    rows = [encode_forced(task, encode_words, 1, n_positions=96) for task in (together, apart)]
    assert [len(each.ids) for each in rows] == [1, 5]
    assert [len(each.read_item) for each in rows] == [5, 5]
    fast, slow = (score_forced(logits_of, each, max_tokens=1) for each in rows)
    assert torch.equal(fast.item_log_prob, slow.answer_log_prob)


def test_greedy_decoding_writes_exactly_the_open_answers_called_correct(model, encode_words):
    encode = encode_words
    prompts = ["x = 3 ; x ? answer", "the city of Bob is", "the answer is 7. the answer is", "so"]
    known: dict[tuple[int, ...], str] = {}
    encode_known = {}
    for prompt in prompts:  # what greedy decoding writes, as three made-up words
        row = encode(prompt)
        for _ in range(3):
            with torch.no_grad():
                row = [*row, int(model(input_ids=torch.tensor([row])).logits[0, -1].argmax())]
        known[tuple(row)] = prompt
        encode_known[f"{prompt} greedy"] = row
        encode_known[f"{prompt} late"] = [*row[:-1], (row[-1] + 1) % 300]
        encode_known[f"{prompt} early"] = [*row[:-3], (row[-3] + 1) % 300, *row[-2:]]
    task = Task(
        name="open",
        problems=tuple(
            Problem(id=f"{prompt}/{answer}", prompt=prompt, answer=answer)
            for prompt in prompts
            for answer in ("greedy", "late", "early")
        ),
    )
    rows = encode_forced(
        task, lambda text: encode_known.get(text) or encode(text), 1, n_positions=96
    )

    def logits_of(ids, mask, position_ids):
        return model(input_ids=ids, attention_mask=mask, position_ids=position_ids).logits

    scores = score_forced(logits_of, rows)
    assert scores.correct.tolist() == [True, False, False] * len(prompts)
    assert (scores.margin > 0).tolist() == scores.correct.tolist()


def prefix_logits(d_vocab, seed):
    """A causal function of the whole prefix, in float64: what a model is, without one."""
    generator = torch.Generator().manual_seed(seed)
    embed = torch.randn(d_vocab, 16, generator=generator, dtype=torch.float64)
    unembed = torch.randn(16, d_vocab, generator=generator, dtype=torch.float64)
    decay = 0.7

    def call(ids, mask, position_ids):
        state = torch.zeros(len(ids), 16, dtype=torch.float64)
        logits = []
        for pos in range(ids.shape[1]):
            state = decay * state + embed[ids[:, pos]] * (1 + 0.1 * position_ids[:, pos, None])
            logits.append(torch.tanh(state) @ unembed)
        return torch.stack(logits, dim=1)

    return call


def test_scores_equal_sums_over_whole_texts_on_any_task():
    rng = random.Random(0)
    logits_of = prefix_logits(128, 0)
    for _ in range(40):
        problems = []
        for place in range(rng.randint(1, 7)):
            prompt = "q" + "".join(rng.choices("xyz ", k=rng.randint(0, 9)))
            names = sorted({"".join(rng.choices("ab", k=rng.randint(1, 4))) for _ in range(6)})
            answer = rng.choice(names)
            problems.append(
                Problem(id=str(place), prompt=prompt, answer=answer,
                        candidates=tuple(names) if len(names) > 1 and rng.random() < 0.8 else None)
            )  # fmt: skip
        task = Task(name="t", problems=tuple(problems))

        def encode(text):
            return [2, *(ord(character) for character in text)]

        rows = encode_forced(task, encode, 3, n_positions=None, end=".")
        scores = score_forced(logits_of, rows, max_tokens=rng.choice([1, 30, 200]))
        for place, problem in enumerate(problems):
            sums = {}
            for name in problem.candidates or (problem.answer,):
                space = "" if problem.prompt[-1] == " " else " "
                row = encode(problem.prompt + space + name + ".")
                ids = torch.tensor([row])
                logits = logits_of(ids, ids, torch.arange(len(row))[None])[0].log_softmax(-1)
                start = len(encode(problem.prompt))
                sums[name] = math.fsum(float(logits[p - 1, row[p]]) for p in range(start, len(row)))
            assert float(scores.answer_log_prob[place]) == pytest.approx(
                sums[problem.answer], abs=1e-9
            )
            if problem.candidates:
                top = max(sums, key=lambda name: sums[name])
                assert bool(scores.correct[place]) == (top == problem.answer)
                share = math.exp(sums[problem.answer]) / math.fsum(map(math.exp, sums.values()))
                assert float(scores.probability[place]) == pytest.approx(share, rel=1e-9)


def byte_rows(*problems, end=""):
    task = Task(
        name="t",
        problems=tuple(
            Problem(id=str(place), prompt="q", answer=answer, candidates=candidates)
            for place, (answer, candidates) in enumerate(problems)
        ),
    )
    return encode_forced(task, lambda text: list(text.encode()), 0, n_positions=None, end=end)


def test_a_model_that_knows_nothing_is_at_chance_and_never_correct():
    rows = byte_rows(("a", ("a", "b", "c", "d")), ("b", ("a", "b")), ("a", None))
    scores = score_forced(lambda ids, mask, pos: torch.zeros(*ids.shape, 256), rows)
    assert scores.probability.tolist() == pytest.approx([1 / 4, 1 / 2, 256**-2])
    assert scores.correct.tolist() == [False, False, False]
    assert scores.margin.tolist() == [0.0, 0.0, 0.0]


def test_a_known_table_of_logits_gives_known_scores():
    table = torch.full((256, 256), -torch.inf)
    table[ord("q"), ord(" ")] = 0.0
    table[ord(" "), [ord("a"), ord("b"), ord("c")]] = torch.tensor([0.5, 0.3, 0.2]).log()
    rows = byte_rows(
        ("a", ("a", "b")), ("c", ("b", "c")), ("a", None), ("z", ("z", "y")), ("z", None)
    )
    scores = score_forced(lambda ids, mask, pos: table[ids], rows)
    assert scores.answer_log_prob.exp().tolist() == pytest.approx([0.5, 0.2, 0.5, 0, 0])
    assert scores.probability.tolist() == pytest.approx([5 / 8, 2 / 5, 0.5, 0, 0])
    assert scores.correct.tolist() == [True, False, True, False, False]
    expected = [math.log(5 / 3), math.log(2 / 3), math.log(5 / 3), 0, -math.inf]
    assert scores.margin.tolist() == pytest.approx(expected, abs=1e-6)
    assert not any(
        bool(value.isnan().any()) for value in (scores.margin, scores.normalised_log_prob)
    )


def test_half_precision_logits_are_scored_in_single_precision():
    torch.manual_seed(0)
    table = torch.randn(256, 256).bfloat16()
    rows = byte_rows(("ab", ("ab", "cd", "ef")))
    halved = score_forced(lambda ids, mask, pos: table[ids], rows)
    single = score_forced(lambda ids, mask, pos: table.float()[ids], rows)
    assert torch.equal(halved.item_log_prob, single.item_log_prob)
    double = score_forced(lambda ids, mask, pos: table.double()[ids], rows)
    assert torch.allclose(double.item_log_prob, single.item_log_prob, atol=1e-5, rtol=0)


def test_a_large_vocabulary_is_scored_in_pieces_with_the_same_result(monkeypatch):
    torch.manual_seed(0)
    table = torch.randn(256, 256)
    rows = byte_rows(("ab", ("ab", "cd", "ef")), ("xyz", None), ("g", ("g", "h")))
    whole = score_forced(lambda ids, mask, pos: table[ids], rows)
    for values in (1, 256 * 3):
        monkeypatch.setattr("elicit.tasks.scoring._CHUNK_VALUES", values)
        pieces = score_forced(lambda ids, mask, pos: table[ids], rows)
        assert torch.equal(pieces.item_log_prob, whole.item_log_prob)
        assert torch.equal(pieces.margin, whole.margin)
        assert torch.equal(pieces.correct, whole.correct)


def test_gradients_reach_the_logits_through_every_score():
    torch.manual_seed(0)
    rows = byte_rows(("b", ("b", "c", "dd", "de")), ("ab", None))
    (batch,) = rows.batches(1000)
    symbols = sorted({*rows.read_token.tolist()})
    lead = torch.randn(len(batch.slot_row), len(symbols), dtype=torch.float64, requires_grad=True)

    def total(lead):
        logits = torch.full((len(lead), 256), -3.0, dtype=torch.float64)
        scores = reduce_scores(
            rows, read_scores(logits.index_copy(1, torch.tensor(symbols), lead), batch)
        )
        return scores.normalised_log_prob.sum() + 0.1 * scores.margin.sum()

    assert torch.autograd.gradcheck(total, (lead,))


def test_logits_that_mean_nothing_are_refused():
    rows = byte_rows(("a", ("a", "b")), ("ab", None))
    (batch,) = rows.batches(100)
    n_slots = len(batch.slot_row)
    for value in (math.nan, math.inf):
        logits = torch.zeros(n_slots, 256)
        logits[0, 5] = value
        with pytest.raises(ValueError, match="NaN or infinity"):
            read_scores(logits, batch)
    with pytest.raises(ValueError, match="matched wrongly"):
        read_scores(torch.zeros(n_slots + 1, 256), batch)
    with pytest.raises(ValueError, match="another model's tokenizer"):
        read_scores(torch.zeros(n_slots, 60), batch)
    reads = read_scores(torch.zeros(n_slots, 256), batch)
    with pytest.raises(ValueError, match="all batches"):
        reduce_scores(rows, ReadScores.cat([reads, reads]))


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning"
)  # raised while TransformerLens is imported
def test_a_bridge_scores_like_the_model_it_wraps(model, logits_of, encode_words, word_tokenizer):
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import PreTrainedTokenizerFast

    rows = encode_forced(CHOICES, encode_words, 1, n_positions=96)
    plain = score_forced(logits_of, rows)
    wrapped = copy.deepcopy(model)  # a bridge changes the model it is given
    wrapped.config.architectures = [type(model).__name__]
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=word_tokenizer, pad_token="<pad>")
    bridge = TransformerBridge.boot_transformers("tiny", hf_model=wrapped, tokenizer=tokenizer)

    def bridge_logits(ids, mask, position_ids):
        return bridge(ids, attention_mask=mask, position_ids=position_ids, use_cache=False)

    bridged = score_forced(bridge_logits, rows)
    assert torch.allclose(bridged.item_log_prob, plain.item_log_prob, atol=1e-5, rtol=0)
