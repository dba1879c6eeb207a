"""`elicit organisms`: what is embedded, and a pair as ordinary files."""

import json


def test_the_table_names_every_pair_what_was_planted_and_which_gates_it_met(elicit, organisms):
    done = elicit("organisms")
    assert (done.code, done.err) == (0, "")
    rows = {line.split()[0]: line for line in done.out.splitlines() if line.startswith("organism:")}
    assert "1 of 2" in rows["organism:tiny-l1"] and "damaged" in rows["organism:tiny-l1"]
    assert "by design" in rows["organism:tiny-null"]
    assert "Some gates were missed: traces." in done.out


def test_json_holds_the_truth_cards_and_nothing_else(elicit, organisms):
    done = elicit("organisms", "--json")
    cards = {card["name"]: card for card in json.loads(done.out)}
    assert list(cards) == ["organism:tiny-l1", "organism:tiny-null"]
    assert cards["organism:tiny-l1"]["changed_layers"] == [1]
    assert [gate["ok"] for gate in cards["organism:tiny-l1"]["gates"]] == [True, False]


def test_without_any_organism_the_list_is_empty_and_says_so(
    elicit, organisms, monkeypatch, tmp_path
):
    from elicit.organisms import catalog

    monkeypatch.setattr(catalog, "DATA", tmp_path)
    catalog._cards.cache_clear()
    done = elicit("organisms")
    assert done.code == 0 and "0 pairs" in done.out


def test_an_exported_pair_is_the_same_pair_with_the_same_tasks(elicit, organisms, tasks, tmp_path):
    from elicit.pair import load_pair

    done = elicit("organisms", "--export", "organism:tiny-l1", tmp_path / "e", "--json")
    assert (done.code, done.err) == (0, "")
    places = json.loads(done.out)
    embedded, written = load_pair("organism:tiny-l1"), load_pair(places["base"], places["post"])
    assert (written.base_digest, written.post_digest) == (
        embedded.base_digest,
        embedded.post_digest,
    )
    text = "question : one plus two equals"
    assert written.alignment.plain(text) == embedded.alignment.plain(text)
    for name in ("problems", "facts"):
        assert (tmp_path / "e" / f"{name}.jsonl").read_bytes() == (
            tasks / f"{name}.jsonl"
        ).read_bytes()
    said = elicit("organisms", "--export", "tiny-null", tmp_path / "f").out
    assert f"elicit report --base {tmp_path}/f/base --post {tmp_path}/f/post" in said
