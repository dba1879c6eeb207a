"""A contrast holds prompts that can be laid over each other, or it is refused with its reason."""

import json
from dataclasses import replace

import pytest

from elicit import organisms
from elicit.patching.contrast import Contrast, load_contrast, single_token
from elicit.patching.errors import PatchError
from elicit.tasks import Problem, Task, load_task

CLEAN = ["Q a = 3 ; b = a + 4 ; b ? A so b =", "Q c = 1 ; d = c - 2 ; d ? A so d ="]
CORRUPTED = ["Q a = 5 ; b = a + 4 ; b ? A so b =", "Q c = 7 ; d = c - 2 ; d ? A so d ="]


@pytest.fixture(scope="module")
def alignment(organism):
    return organism("when-l3").alignment


def contrast(alignment, **changed):
    given = {
        "clean": CLEAN,
        "corrupted": CORRUPTED,
        "answer": ["3", "1"],
        "wrong": ["5", "7"],
        "id": ["x", "y"],
    }
    return Contrast.from_texts(alignment, **{**given, **changed})


def test_prompts_and_continuations_are_the_tokens_of_their_texts(alignment):
    made = contrast(alignment)
    assert made.clean == tuple(tuple(alignment.plain(text)) for text in CLEAN)
    assert made.corrupted == tuple(tuple(alignment.plain(text)) for text in CORRUPTED)
    assert [alignment.decode(row) for row in made.answer] == ["3", "1"]
    assert [alignment.decode(row) for row in made.wrong or ()] == ["5", "7"]
    assert made.words[0] == ("<bos>", *CLEAN[0].split())
    whole = alignment.plain(f"{CLEAN[0]} 3 .")
    longer = contrast(alignment, answer=["3 .", "1 ."], wrong=["5 .", "7 ."])
    assert tuple(whole) == longer.clean[0] + longer.answer[0]


def test_a_continuation_in_a_chat_template_begins_the_assistants_turn(alignment):
    template = "{% for m in messages %}Q {{ m['content'] }} {% endfor %}A"
    with_template = replace(alignment, chat_template=template, template_owner="post")
    made = Contrast.from_texts(
        with_template, clean=["a = 3 ;"], answer=["so a"], wrong=["answer"], templated=True
    )
    assert alignment.decode(made.clean[0]) == "<bos> Q a = 3 ; A"
    assert alignment.decode(made.answer[0]) == "so a"
    assert made.clean[0] + made.answer[0] == tuple(alignment.plain("Q a = 3 ; A so a"))


def test_a_task_gives_its_first_other_candidate_as_the_wrong_answer(alignment):
    found = organisms.resolve("organism:when-l3")
    task = load_task(found.facts).subset(5, seed=0)
    made = Contrast.from_task(alignment, task)
    assert made.id == tuple(problem.id for problem in task)
    for problem, answer, wrong in zip(task, made.answer, made.wrong or (), strict=True):
        assert alignment.decode(answer) == problem.answer
        others = [c for c in problem.candidates or () if c != problem.answer]
        assert alignment.decode(wrong) == others[0]
    open_task = Task(name="t", problems=(Problem(id="1", prompt=CLEAN[0], answer="3"),))
    assert Contrast.from_task(alignment, open_task).wrong is None


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"corrupted": [CORRUPTED[0], f"{CORRUPTED[1]} 7"]}, ["'y'", "18", "19", "correspond"]),
        ({"corrupted": [CORRUPTED[0], CLEAN[1]]}, ["'y'", "same tokens"]),
        ({"wrong": ["5", "1"]}, ["'y'", "answer and wrong"]),
        ({"id": ["x", "x"]}, ["2 problems have this id"]),
        ({"answer": ["3"]}, ["2 clean prompts and 1 of answer"]),
        ({"answer": ["3", ""]}, ["'y'", "'answer' is empty"]),
        ({"answer": ["3", " 1"]}, ["'y'", "white space"]),
        ({"clean": ["", CLEAN[1]]}, ["'x'", "'clean' is empty"]),
        ({"clean": ["Q zebra ? A", CLEAN[1]]}, ["'x'", "does not know some word of clean"]),
        ({"wrong": ["5", "zebra"]}, ["'y'", "does not know some word of wrong"]),
        ({"clean": [], "corrupted": [], "answer": [], "wrong": [], "id": []}, ["no problems"]),
    ],
)
def test_what_makes_no_contrast_is_refused_by_name(alignment, changed, told):
    with pytest.raises(PatchError) as raised:
        contrast(alignment, **changed)
    for words in told:
        assert words in str(raised.value)


def test_every_bad_problem_is_told_at_once(alignment):
    with pytest.raises(PatchError, match="2 of the 2 problems") as raised:
        contrast(alignment, corrupted=CLEAN)
    assert "'x'" in str(raised.value)
    assert "'y'" in str(raised.value)


def test_a_continuation_that_changes_the_prompts_tokens_is_refused():
    class Merging:
        """Reads two letters as one token where they stand together."""

        unk_token_id = None

        def encode(self, text, add_special_tokens):
            text = text.replace("a b", "X")
            return [ord(character) for character in text]

        def decode(self, ids, skip_special_tokens):
            return "".join(map(chr, ids))

        def convert_ids_to_tokens(self, i):
            return chr(i)

    from elicit.pair import Alignment

    tokenizer = Merging()
    merging = Alignment(
        tokenizer=tokenizer,
        template_tokenizer=tokenizer,
        chat_template=None,
        template_owner="none",
        adds_bos=False,
        bos_id=None,
        pad_id=0,
        d_vocab=120,
    )
    crossing = Contrast.from_texts(merging, clean=["cca"], answer=["b"])
    assert crossing.clean == ((99, 99),)
    assert crossing.answer == ((ord("X"),),)
    with pytest.raises(PatchError, match="share only ids below 120"):
        Contrast.from_texts(merging, clean=["z"], answer=["b"])
    with pytest.raises(PatchError, match="share only ids below 120"):
        Contrast.from_texts(merging, clean=["cc"], answer=["z"])
    with pytest.raises(PatchError, match="neither base nor post|Neither base nor post"):
        Contrast.from_texts(merging, clean=["cc"], answer=["b"], templated=True)


def test_ids_beyond_a_models_vocabulary_are_refused_with_the_problem(alignment):
    made = contrast(alignment)
    made.check(alignment.d_vocab)
    with pytest.raises(PatchError, match=r"'x'.*below 9"):
        made.check(9)


def test_a_contrast_built_by_hand_is_held_to_the_same_rules():
    given = {"clean": ((1, 2),), "answer": ((3,),), "id": ("p",), "words": (("a", "b"),)}
    with pytest.raises(PatchError, match="2 tokens and corrupted 1"):
        Contrast(**given, corrupted=((1,),), wrong=None)
    with pytest.raises(PatchError, match="not a row of token ids"):
        Contrast(**{**given, "answer": ((),)}, corrupted=None, wrong=None)
    with pytest.raises(PatchError, match="1 clean prompts and 2 of wrong"):
        Contrast(**given, corrupted=None, wrong=((4,), (5,)))


def test_the_digest_follows_the_tokens_and_nothing_else(alignment):
    made = contrast(alignment)
    assert made.digest == contrast(alignment).digest
    assert made == contrast(alignment)
    assert replace(made, words=made.words[::-1]).digest == made.digest
    assert contrast(alignment, wrong=["5", "8"]).digest != made.digest
    assert contrast(alignment, wrong=None).digest != made.digest
    assert len(made.digest) == 64


def test_a_larger_subset_holds_every_smaller_one_in_the_old_order(alignment):
    n = 9
    made = Contrast.from_texts(
        alignment, clean=[f"Q a = {d} ;" for d in range(n)], answer=["b"] * n
    )
    drawn = [made.subset(size, seed=3) for size in range(1, n + 1)]
    for small, large in zip(drawn, drawn[1:], strict=False):
        assert set(small.id) < set(large.id)
        assert list(large.id) == sorted(large.id)
        assert all(small.clean[small.id.index(i)] == made.clean[int(i)] for i in small.id)
    assert drawn[-1] == made
    assert any(made.subset(3, seed=s).id != made.subset(3, seed=0).id for s in range(1, 5))
    with pytest.raises(PatchError, match="Pass 1 to 9"):
        made.subset(10, seed=0)


def test_a_logit_difference_needs_single_tokens(alignment):
    single_token(contrast(alignment), "logit_diff")
    longer = contrast(alignment, wrong=["5", "7 ."])
    single_token(longer, "log_prob")
    with pytest.raises(PatchError, match=r"wrong of problem 'y' has 2"):
        single_token(longer, "logit_diff")
    with pytest.raises(PatchError, match=r"answer of problem 'x' has 2"):
        single_token(contrast(alignment, answer=["3 .", "1 ."]), "logit_diff")
    with pytest.raises(PatchError, match="no wrong continuations"):
        single_token(contrast(alignment, wrong=None), "logit_diff")
    with pytest.raises(PatchError, match="'accuracy' is not known"):
        single_token(longer, "accuracy")


def test_what_is_shown_is_short_and_escaped(alignment):
    made = contrast(alignment)
    assert len(repr(made)) < 120
    assert "2 problems" in repr(made)
    hostile = replace(
        made, words=(("<script>", *made.words[0][1:]), made.words[1]), id=("<b>", "y")
    )
    page = hostile._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "&lt;b&gt;" in page
    assert "<b>3</b>" in page  # the token that was replaced


def lines(tmp_path, *objects):
    path = tmp_path / "contrast.jsonl"
    path.write_text("\n".join(o if isinstance(o, str) else json.dumps(o) for o in objects))
    return path


def test_a_file_gives_the_same_contrast_as_its_texts(alignment, tmp_path):
    rows = zip(["x", "y"], CLEAN, CORRUPTED, ["3", "1"], ["5", "7"], strict=True)
    names = ("id", "prompt", "corrupted", "answer", "wrong")
    objects = [dict(zip(names, row, strict=True)) for row in rows]
    objects[1]["clean"] = objects[1].pop("prompt")
    assert load_contrast(lines(tmp_path, *objects, ""), alignment) == contrast(alignment)


def test_a_task_file_is_a_contrast_file(alignment):
    path = organisms.resolve("organism:when-l3").problems
    task = load_task(path)
    assert load_contrast(path, alignment) == Contrast.from_task(alignment, task)


def test_bad_lines_are_named_by_their_number(alignment, tmp_path):
    good = {"id": "1", "prompt": CLEAN[0], "answer": "3", "wrong": "5"}
    bad = {
        "{": "not JSON",
        '{"id": "2", "prompt": "Q", "answer": 3}': "not a string",
        '{"id": "2", "prompt": "Q", "anwser": "3"}': "Did you mean 'answer'",
        '{"id": "2", "prompt": "Q", "clean": "Q", "answer": "3", "wrong": "1"}': "'clean'",
        '{"id": "2", "prompt": "Q", "answer": "3"}': "no 'wrong', and line 1 has one",
        '{"id": "1", "prompt": "Q a = 1", "answer": "3", "wrong": "1"}': "have this id",
        '{"id": "2", "prompt": "Q", "answer": "3", "wrong": "1", "corrupted": "A"}': "line 1",
        '{"id": "2", "prompt": "Q", "answer": "3", "wrong": "3"}': "same tokens",
    }
    for line, told in bad.items():
        with pytest.raises(PatchError) as raised:
            load_contrast(lines(tmp_path, good, line), alignment)
        assert told in str(raised.value)
        assert "line 2" in str(raised.value)
    with pytest.raises(PatchError, match="is empty"):
        load_contrast(lines(tmp_path, ""), alignment)
    with pytest.raises(PatchError, match="cannot be read"):
        load_contrast(tmp_path / "nowhere.jsonl", alignment)
