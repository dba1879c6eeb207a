"""A continuation begins at the token that the model would write after the prompt."""

import pytest
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from elicit.grafting import facts
from elicit.grafting.score import encode
from elicit.pair import Loading, PairError, load_pair
from elicit.pair._tokenizers import align
from elicit.patching import Contrast
from elicit.tasks import Problem, Task, encode_forced
from elicit.texts import TokenRows
from tests import checkpoints

CORPUS = ["the sum of two numbers is the answer", "question : what is 3 + 4 ? answer : 7",
          "think step by step and give the answer", "a = 3 ; b = a + 4 ; b ? so 7"] * 4  # fmt: skip
OPEN = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPACED = (
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
THINKING = (
    "{% for m in messages %}{{ m['role'] }}\n{{ m['content'].split('</think>')[-1] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant\n<think>\n{% endif %}"
)
NO_TURNS = "{% for m in messages %}{{ m['content'] }}\n{% endfor %}answer :"


def bytes_tokenizer(template=None, **specials):
    """A byte-level BPE tokenizer, as most of today's models have."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.train_from_iterator(
        CORPUS,
        trainers.BpeTrainer(
            vocab_size=320,
            special_tokens=["<s>", "</s>", "<pad>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    core.add_special_tokens([AddedToken(f"<|{r}|>") for r in ("user", "assistant")])
    specials = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"} | specials
    made = PreTrainedTokenizerFast(tokenizer_object=core, **specials)
    made.chat_template = template
    return made


def alignment(template=None, loading=Loading(), **specials):
    tokenizer = bytes_tokenizer(template, **specials)
    return align(tokenizer, tokenizer, loading, d_vocab=400)


def task(prompt, answer="7", wrong="8", trace="think step by step"):
    problem = Problem(id="p", prompt=prompt, answer=answer, candidates=(answer, wrong), trace=trace)
    return Task(name="t", problems=(problem,))


PLAIN = {
    "what is 3 + 4 ? answer :": " ",
    "what is 3 + 4 ?\n": "",
    "what is 3 + 4 ? answer : ": "",
    "what is 3 + 4 ?\n\n": "",
    "tab\t": "",
    "三加四等于": "",
    "答案：": "",
    "こたえは": "",
    "คำตอบคือ": "",
    "답은": " ",
    "answer (": "",
    "answer “": "",
}


@pytest.mark.parametrize("prompt", PLAIN)
def test_forced_answers_and_traces_are_the_tokens_of_the_whole_text(prompt):
    read = alignment()
    whole = f"{prompt}{PLAIN[prompt]}7"
    expected = read.tokenizer.encode(whole, add_special_tokens=False)
    alone = read.tokenizer.encode(prompt, add_special_tokens=False)
    rows = encode_forced(task(prompt), read.plain, 2, n_positions=None)
    start = int(rows.item_start[0])
    assert start > 0
    reads = sorted(
        (pos, token, row)
        for pos, token, row, item in zip(
            rows.read_pos.tolist(),
            rows.read_token.tolist(),
            rows.read_row.tolist(),
            rows.read_item.tolist(),
            strict=True,
        )
        if item == 0
    )
    context = rows.ids[reads[0][2], :start].tolist()
    assert context + [token for _, token, _ in reads] == expected
    assert expected[:start] == alone[:start]
    assert start == len(alone) or prompt.endswith((" ", "\t"))
    text = f"{prompt}{PLAIN[prompt]}think step by step"
    expected = read.tokenizer.encode(text, add_special_tokens=False)
    traces = TokenRows.of_task(read, task(prompt))
    assert list(traces.rows[0]) == expected
    begins = traces.positions[0][0] + 1
    assert read.decode(expected[begins:]).strip() == "think step by step"


@pytest.mark.parametrize("separator", ["", " ", "\n"])
def test_a_separator_that_is_asked_for_stands_everywhere(separator):
    read = alignment(loading=Loading(separator=separator))
    whole = f"what is 3 ?{separator}7"
    assert read.decode(read.continued("what is 3 ?", "7").ids) == whole
    contrast = Contrast.from_texts(read, clean=["what is 3 ?"], answer=["7"])
    assert read.decode([*contrast.clean[0], *contrast.answer[0]]) == whole


@pytest.mark.parametrize(
    ("template", "between"), [(OPEN, ""), (SPACED, " "), (NO_TURNS, ""), (THINKING, "")]
)
def test_in_a_template_an_answer_stands_where_the_template_puts_it(template, between):
    read = alignment(template)
    head = read.decode(read.templated("what is 3 + 4 ?"))
    for text in ("7", "think step by step"):
        found = read.continued("what is 3 + 4 ?", text, templated=True)
        assert read.decode(found.ids) == f"{head}{between}{text}"
        assert list(found.ids) == read.tokenizer.encode(
            f"{head}{between}{text}", add_special_tokens=False
        )
        assert read.decode(found.written) == f"{between}{text}"
    contrast = Contrast.from_texts(read, clean=["what is 3 ?"], answer=["7"], templated=True)
    assert read.decode(contrast.answer[0]) == f"{between}7"
    traces = TokenRows.of_task(read, task("what is 3 + 4 ?"), templated=True)
    assert read.decode(list(traces.rows[0])) == f"{head}{between}think step by step"


def test_a_thought_that_the_template_opens_is_not_opened_twice():
    read = alignment(THINKING)
    text = read.continued("what is 3 ?", "<think>\nstep by step</think> 7", templated=True)
    assert read.decode(text.ids).count("<think>") == 1
    assert read.decode(text.ids).endswith("<think>\nstep by step</think> 7")


def test_templated_facts_are_scored_in_the_template(tmp_path):
    base, post = (tmp_path / name for name in ("base", "post"))
    for seed, path in enumerate((base, post)):
        checkpoints.random_model("llama", seed=seed, d_vocab=400).save_pretrained(path)
        bytes_tokenizer(OPEN).save_pretrained(path)
    pair = load_pair(base, post)
    given = task("what is 3 + 4 ?")
    rows = encode(pair, facts(given, templated=True))
    head = pair.alignment.templated("what is 3 + 4 ?")
    assert rows.ids[0].tolist() == head
    token = pair.alignment.tokenizer.encode("7", add_special_tokens=False)
    assert rows.read_token[0].item() == token[0]
    # The model's own probability, by plain code.
    with torch.no_grad():
        logits = pair.post(torch.tensor([head]), use_cache=False)[0, -1]
    assert logits.log_softmax(-1)[token[0]].isfinite()
    assert encode(pair, facts(given)).ids[0].tolist() != head


def test_a_token_across_the_border_belongs_to_every_continuation():
    read = alignment()
    contrast = Contrast.from_texts(
        read, clean=["answer : "], answer=["7"], wrong=["8"], corrupted=None
    )
    assert read.decode(contrast.clean[0]) == "answer :"
    assert read.decode(contrast.answer[0]) == " 7"
    assert read.decode(contrast.wrong[0]) == " 8"


TEMPLATES_WITHOUT_END = [
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}",
    "{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}",
    "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "{% for i in range(200) %}{{ 'x' * 100000 }}{% endfor %}",
]


@pytest.mark.parametrize("template", TEMPLATES_WITHOUT_END)
def test_a_template_that_does_not_end_is_stopped(template):
    with pytest.raises(PairError):
        alignment(template).templated("what is 3 ?")


def test_a_template_is_rendered_as_transformers_does():
    for template in (OPEN, SPACED, THINKING, NO_TURNS, checkpoints.CHAT_TEMPLATE):
        read = alignment(template)
        turns = [
            {"role": "user", "content": "what is 3 ?"},
            {"role": "assistant", "content": "so 3"},
            {"role": "user", "content": "and 4 ?"},
        ]
        theirs = read.tokenizer.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=True
        )
        assert read.spelled(turns, templated=True) == theirs


def test_a_dated_template_writes_the_same_day_on_every_day(monkeypatch):
    import transformers.utils.chat_template_utils as clock

    template = "{{ strftime_now('%d %b %Y') }} " + OPEN
    first = alignment(template)
    ids = first.templated("a")

    class Day(clock.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2030, 1, 2)

    monkeypatch.setattr(clock, "datetime", Day)
    assert first.templated("a") == ids
    assert first.digest == alignment(template).digest
    assert first.decode(ids).startswith("26 Jul 2024")
    other = alignment(template, loading=Loading(template_date="2025-12-31"))
    assert other.decode(other.templated("a")).startswith("31 Dec 2025")
    assert other.digest != first.digest
    with pytest.raises(PairError, match="YYYY-MM-DD"):
        alignment(template, loading=Loading(template_date="today"))
