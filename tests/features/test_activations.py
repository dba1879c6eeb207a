"""A feature table shows where features are most active, as text that stays text."""

import dataclasses

import pytest

from elicit.capture import capture
from elicit.features import FeatureError, feature_table


def test_examples_are_the_largest_activations_one_a_row(pair, sae, traces):
    import torch

    rows = traces[:10]
    found = feature_table(pair, sae, [7, 2], rows, model="post", n_examples=3, around=2)
    for feature in (7, 2):
        best = []
        for r, row in enumerate(rows):
            x = capture(pair.post, torch.tensor([row]), sites=[sae.site]).at[sae.site][0].detach()
            acts = sae.encode(x)[:, feature].clone()
            acts[0] = 0
            best.append((acts.max().item(), r, int(acts.argmax())))
        best = sorted(best, key=lambda at: -at[0])[:3]
        mine = [i for i, of in enumerate(found.of.tolist()) if of == feature]
        assert [found.row[i] for i in mine] == [r for _, r, _ in best]
        assert [found.pos[i] for i in mine] == [p for _, _, p in best]
        for i, (_, r, p) in zip(mine, best, strict=True):
            word = pair.alignment.decode([rows[r][p]])
            assert f"⟦{word}⟧" in found.example[i]
        assert found.examples(feature) == tuple(found.example[i] for i in mine)
    assert found.link == ("", "")
    with pytest.raises(FeatureError, match="feature 9 is not in the table"):
        found.examples(9)


def test_text_is_shown_as_text_and_links_follow_the_metadata(pair, sae, traces, tmp_path):
    from elicit.results import load_result

    linked = dataclasses.replace(sae, metadata={"neuronpedia_id": "tiny/3-res"})
    found = feature_table(pair, linked, [7], traces[:4], model="base")
    assert found.link == ("https://neuronpedia.org/tiny/3-res/7",)
    nasty = dataclasses.replace(found, example=("<img src=x>",) * len(found.example))
    assert "<img" not in nasty._repr_html_() and "&lt;img" in nasty._repr_html_()
    back = load_result(found.save(tmp_path / "table"))
    assert back.example == found.example and back.link == found.link
    assert "example" in back.to_frame().columns


def test_no_example_and_no_such_feature_are_refused(pair, sae, traces):
    with pytest.raises(FeatureError, match="feature 64 is out of range"):
        feature_table(pair, sae, [64], traces, model="base")
    with pytest.raises(FeatureError, match="nothing would be shown"):
        feature_table(pair, sae, [1], traces, model="base", n_examples=0)
