"""Texts and words of files, and how texts are halved by problem."""

import json

import pytest

from elicit.jobs._features.files import read_groups, read_texts
from elicit.jobs._features.inputs import FeatureInputs, prepare, refuse_early
from elicit.jobs._features.spec import FeaturesSpec
from elicit.jobs._features.texts import write_texts
from elicit.jobs._frame import Work
from elicit.jobs._spec import SpecError
from elicit.runs import NoProgress, RunDirectory


def lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_text_is_of_the_problem_it_names_or_of_its_line(tmp_path):
    rows = [{"text": f"so {i}", **({"problem": "p"} if i < 2 else {})} for i in range(6)]
    found = read_texts(lines(tmp_path / "t.jsonl", rows)).texts
    assert [text.problem for text in found] == ["p", "p", *(f"t.jsonl:{i}" for i in range(3, 7))]
    assert {text.source for text in found} == {"t.jsonl"}


def test_a_table_gives_the_texts_of_the_lines(tmp_path):
    rows = [{"text": f"so {i}", "problem": f"p{i}"} for i in range(4)]
    table = tmp_path / "t.csv"
    table.write_text("text,problem\n" + "".join(f"{r['text']},{r['problem']}\n" for r in rows))
    pairs = [
        [(text.text, text.problem) for text in read_texts(path).texts]
        for path in (table, lines(tmp_path / "t.jsonl", rows))
    ]
    assert pairs[0] == pairs[1] == [(r["text"], r["problem"]) for r in rows]


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([{"text": "so"}, {"words": "so"}], "line 2 of"),
        ([{"text": " "}], "line 1 of"),
        ([{"text": "so", "problem": "p"}] * 9, "has texts of 1 problems"),
    ],
)
def test_files_without_enough_texts_are_refused(tmp_path, rows, told):
    with pytest.raises(SpecError, match=told):
        read_texts(lines(tmp_path / "t.jsonl", rows))


def test_groups_are_lists_of_spellings(tmp_path):
    path = tmp_path / "g.json"
    path.write_text('{"wait": ["wait", "Wait"], "so": ["so"]}')
    assert read_groups(path) == {"wait": ("wait", "Wait"), "so": ("so",)}
    for wrong in ('{"wait": ["wait"]}', '["wait"]', '{"wait": "wait", "so": []}'):
        path.write_text(wrong)
        with pytest.raises(SpecError, match="not an object of two or more lists"):
            read_groups(path)


@pytest.mark.slow
def test_no_problem_is_on_both_sides(organism, tmp_path, monkeypatch):
    """Traces of the task go where their problem goes; texts of strangers are halved as well."""
    from elicit.jobs._features import texts as features_texts

    pair = organism("rl")
    strangers = [{"text": f"notes Q a = {i} ; b = a + 1 ; b ? A so b"} for i in range(8)]
    path = lines(tmp_path / "t.jsonl", strangers)
    spec = FeaturesSpec(
        pair="organism:rl", out=tmp_path / "r", limit=20, traces=("task", str(path)),
        max_new_tokens=4, temperature=0.01,
    )  # fmt: skip
    source = refuse_early(spec)
    inputs = prepare(spec, pair, source)
    assert source.kinds == ("task",) and len(source.texts) == 8
    assert inputs.model == "base" and inputs.groups is not None
    assert inputs.groups.group == ("so", "check", "wait")
    with RunDirectory.open(tmp_path / "r", kind="t", arguments={}, identity={}) as run:
        work = Work(spec=spec, pair=pair, inputs=inputs, run=run, progress=NoProgress())
        texts = write_texts(work)
        halves = [{text.problem for text in texts.part(test=test)} for test in (False, True)]
        assert not halves[0] & halves[1]
        tested = {problem.id for problem in source.split.test}
        assert all(
            (text.problem in tested) == text.test for text in texts.every if text.source == "task"
        )
        own = [text for text in texts.every if text.source == path.name]
        assert sum(text.test for text in own) == 4 and all(text.reasons for text in own)
        # Base answers `quiz` at once, post writes steps, so post's texts there are left out.
        assert {text.source for text in texts.every if not text.reasons} == {"base"}
        assert texts.left_out["post, direct-answer prompt"] == 20
        monkeypatch.setattr(features_texts, "LEAST", 99)
        with pytest.raises(SpecError, match=r"99 are needed .*20 of post, direct-answer prompt"):
            write_texts(work)


def test_groups_that_no_text_holds_are_named(organism):

    from elicit.features import known_words, token_groups

    pair = organism("rl")
    known = known_words(pair)
    assert "wait" in known and "hmm" not in known
    groups = token_groups(pair, {word: [word] for word in ("so", "check", "wait")})
    present = groups.present_in(pair, [pair.alignment.plain("A so b = 1 ; check b = 1 ok ;")])
    assert present is not None and present.group == ("so", "check")
    assert groups.present_in(pair, [pair.alignment.plain("A answer 7 .")]) is None


def test_a_damaged_dictionary_is_trained_anew_and_a_whole_one_is_not(
    organism, tmp_path, monkeypatch
):
    """Its digest is kept apart from it, so that other bytes are never read as it."""
    from elicit.features import load_sae
    from elicit.jobs._features import dictionary as features_dictionary
    from elicit.jobs._features.texts import Texts
    from tests.features import made

    trained = []

    def train(pair, rows, folder, **options):
        trained.append(options["seed"])
        made.saved(folder, "topk", d_in=96, hook="blocks.4.hook_resid_post")
        return load_sae(folder)

    monkeypatch.setattr(features_dictionary, "train", train)
    spec = FeaturesSpec(pair="organism:rl", out=tmp_path / "r")
    inputs = FeatureInputs(
        source=refuse_early(spec), cot={}, direct={}, sae=None, model="base", groups=None,
        without_groups="none",
    )  # fmt: skip
    none = Texts(every=(), left_out={})

    def again():
        with RunDirectory.open(tmp_path / "r", kind="t", arguments={}, identity={}) as run:
            pair = organism("rl")
            work = Work(spec=spec, pair=pair, inputs=inputs, run=run, progress=NoProgress())
            return features_dictionary.sae_of(work, none)

    first = again()
    assert again().digest == first.digest and len(trained) == 1
    weights = tmp_path / "r" / "sae" / "sae_weights.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))
    assert again().digest == first.digest and len(trained) == 2
    weights.unlink()
    assert again().digest == first.digest and len(trained) == 3
