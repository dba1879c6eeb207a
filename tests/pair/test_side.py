"""A side is one model of a pair with what instruments need of it, and both sides stop alike."""

from dataclasses import replace

import pytest

from elicit.pair import PairError


def test_each_side_is_its_model_and_both_stop_at_the_same_tokens(paired):
    pair = paired("llama")
    base, post = pair.side("base"), pair.side("post")
    assert (base.bridge, post.bridge) == (pair.base, pair.post)
    assert (base.digest, post.digest) == (pair.base_digest, pair.post_digest)
    assert base.stop_ids == post.stop_ids == (pair.tokenizer.eos_token_id,)
    assert base.n_positions == 128
    with pytest.raises(PairError, match="'chat'"):
        pair.side("chat")


def test_models_that_name_no_end_are_refused_only_where_an_end_is_needed(paired):
    side = replace(paired("llama").side("base"), ends=())
    with pytest.raises(PairError, match="stop_ids"):
        _ = side.stop_ids
