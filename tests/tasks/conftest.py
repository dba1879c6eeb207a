"""Tiny tokenizers and models, made here and never downloaded."""

import pytest
import torch

TEXT = """the answer is 7. the answer is 12. the answer is 71. x = 3 ; y = x + 4 ; y ? answer 7 .
the city of Anna is Paris. the city of Bob is New York. the city of Carl is New Delhi."""


def byte_bpe(vocab_size, *, words):
    """Byte-level BPE; with `words` no merge crosses a space, without any merge may."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=words)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=["<bos>", "<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXT.splitlines() * 5, trainer)
    return tokenizer


def with_bos(tokenizer):
    """Text to ids, BOS first."""
    return lambda text: [0, *tokenizer.encode(text).ids]


@pytest.fixture(scope="session")
def word_tokenizer():
    """Tokens that end where words do, as those of real models."""
    return byte_bpe(330, words=True)


@pytest.fixture(scope="session")
def encode_words(word_tokenizer):
    """Text to ids by tokens that end where words do."""
    return with_bos(word_tokenizer)


@pytest.fixture(scope="session")
def encode_merging():
    """Text to ids by tokens that run across the spaces between words."""
    return with_bos(byte_bpe(340, words=False))


@pytest.fixture(scope="session", params=["llama", "gpt2"])
def model(request):
    """A random two-layer model, sharp enough that its answers differ."""
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    if request.param == "llama":
        config = LlamaConfig(
            vocab_size=352, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=96,
            initializer_range=0.3, bos_token_id=0, eos_token_id=None, pad_token_id=1,
        )  # fmt: skip
        return LlamaForCausalLM(config).eval()
    config = GPT2Config(
        vocab_size=352, n_embd=32, n_layer=2, n_head=4, n_positions=96, initializer_range=0.3,
        bos_token_id=0, eos_token_id=None, pad_token_id=1,
    )  # fmt: skip
    return GPT2LMHeadModel(config).eval()


@pytest.fixture
def logits_of(model):
    """The model as the callable that scoring takes."""

    def call(ids, mask, position_ids):
        return model(
            input_ids=ids, attention_mask=mask, position_ids=position_ids, use_cache=False
        ).logits

    return call
