"""Text becomes the same ids for both models, with bos exactly once or never."""

import pytest
import torch

from elicit.pair import PairError, pad
from elicit.pair._tokenizers import align, check_tokenizers
from tests import checkpoints


def made(**options):
    base = checkpoints.tokenizer(**options)
    return align(base, checkpoints.tokenizer(**options), d_vocab=checkpoints.D_VOCAB)


def test_bos_is_there_once_however_often_it_is_written():
    alignment = made()
    expected = [1, *alignment.tokenizer.convert_tokens_to_ids(["the", "cat"])]
    for text in ("the cat", "<s> the cat", "<s> <s> the cat"):
        assert alignment.plain(text) == expected


def test_a_tokenizer_without_bos_never_gains_one():
    for options in ({"add_bos": False}, {"bos_token": None}):
        alignment = made(**options)
        assert alignment.plain("the cat") == alignment.tokenizer.convert_tokens_to_ids(
            ["the", "cat"]
        )


def test_a_template_that_writes_bos_does_not_double_it():
    alignment = made(chat_template=checkpoints.CHAT_TEMPLATE)
    text = alignment.decode(alignment.templated("the cat"))
    assert text == "<s> user : the cat assistant :"


def test_a_template_that_forgets_bos_still_has_it_once():
    template = checkpoints.CHAT_TEMPLATE.replace("{{ bos_token }}", "")
    ids = made(chat_template=template).templated("the cat")
    assert ids.count(1) == 1
    assert ids[0] == 1


def test_a_string_is_one_turn_of_the_user():
    alignment = made(chat_template=checkpoints.CHAT_TEMPLATE)
    turns = [{"role": "user", "content": "the cat"}]
    assert alignment.templated("the cat") == alignment.templated(turns)


def test_a_base_without_a_template_borrows_the_one_of_post():
    base = checkpoints.tokenizer()
    post = checkpoints.tokenizer(chat_template=checkpoints.CHAT_TEMPLATE)
    notes = check_tokenizers(base, post)
    alignment = align(base, post, d_vocab=checkpoints.D_VOCAB)
    assert alignment.chat_template == checkpoints.CHAT_TEMPLATE
    assert alignment.template_owner == "post"
    assert any("Only post has a chat template" in note for note in notes)


def test_templates_that_differ_are_shown_and_that_of_post_is_used():
    base = checkpoints.tokenizer(chat_template="{{ messages[0]['content'] }}")
    post = checkpoints.tokenizer(chat_template=checkpoints.CHAT_TEMPLATE)
    (note,) = check_tokenizers(base, post)
    assert "messages[0]" in note
    assert "bos_token" in note
    assert align(base, post, d_vocab=64).chat_template == checkpoints.CHAT_TEMPLATE


def test_without_any_template_templated_text_is_refused():
    with pytest.raises(PairError, match="Neither base nor post has a chat template"):
        made().templated("the cat")


def test_a_template_that_refuses_a_role_says_why():
    template = "{{ raise_exception('no system turns') }}"
    with pytest.raises(PairError, match="no system turns"):
        made(chat_template=template).templated([{"role": "system", "content": "the"}])


def test_a_conversation_is_not_read_as_plain_text():
    with pytest.raises(PairError, match="conversation"):
        made().encode([[{"role": "user", "content": "the"}]])


def test_padding_keeps_every_row_and_counts_positions_from_its_first_token():
    left = pad([[5, 6, 7], [8]], pad_id=0, padding="left")
    assert left.ids.tolist() == [[5, 6, 7], [0, 0, 8]]
    assert left.mask.tolist() == [[1, 1, 1], [0, 0, 1]]
    assert left.position_ids.tolist() == [[0, 1, 2], [0, 0, 0]]
    right = pad([[5, 6, 7], [8]], pad_id=0, padding="right")
    assert right.ids.tolist() == [[5, 6, 7], [8, 0, 0]]
    assert right.position_ids.tolist() == [[0, 1, 2], [0, 0, 0]]
    assert torch.equal(left.lengths, right.lengths)


def test_an_empty_batch_and_an_empty_row_are_refused():
    with pytest.raises(PairError, match="no rows"):
        pad([], pad_id=0)
    with pytest.raises(PairError, match="Row 1 has no token"):
        made(add_bos=False).encode(["the", ""])


def test_a_token_that_only_one_model_has_a_row_for_is_refused():
    base = checkpoints.tokenizer()
    alignment = align(base, checkpoints.tokenizer(), d_vocab=30)
    assert alignment.plain("the")
    with pytest.raises(PairError, match="'w1'.*share only ids below 30"):
        alignment.plain("the w1")


def test_a_tokenizer_without_pad_pads_with_eos():
    assert made(pad_token=None).pad_id == 2


def test_tokens_that_only_post_knows_are_noted_by_name():
    words = checkpoints.default_words()
    base = checkpoints.tokenizer(words=words[:-1])
    notes = check_tokenizers(base, checkpoints.tokenizer(words=words))
    assert any("Only post's tokenizer knows 1 token" in n and words[-1] in n for n in notes)
