"""Tiny random checkpoints of real architectures, written to disk the way a hub download looks."""

from collections.abc import Callable
from pathlib import Path

import torch

# fmt: off
WORDS: list[str] = [
    "the", "a", "is", "of", "to", "and", "in", "that", "it", "was",
    "for", "on", "are", "with", "as", "at", "be", "this", "from", "or",
    "one", "had", "by", "but", "zero", "two", "three", "four", "five", "six",
    "seven", "eight", "nine", "ten", "plus", "minus", "times", "equals", "carry", "check",
    "ok", "wait", "user", "assistant", "think", "answer", "question", "red", "blue", "green",
    "dog", "cat", "bird", ".", ",", "?", ":", "=",
]
# fmt: on
SPECIAL = ["<pad>", "<s>", "</s>", "<unk>"]
D_VOCAB = 64
N_LAYERS = 3
D_MODEL = 32

ARCHITECTURES = (
    "gpt2",
    "gpt_neox",
    "llama",
    "mistral",
    "qwen2",
    "qwen3",
    "gemma2",
    "gemma3_text",
    "olmo2",
    "phi3",
)
FAMILIES = ("gpt2", "llama", "gemma2")
"""Learned positions, grouped keys, post-norm with softcaps: what quick tests ask."""

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ m['role'] }} : {{ m['content'] }} {% endfor %}"
    "{% if add_generation_prompt %}assistant :{% endif %}"
)


def tokenizer(
    *,
    words: list[str] | None = None,
    add_bos: bool = True,
    chat_template: str | None = None,
    bos_token: str | None = "<s>",
    pad_token: str | None = "<pad>",
):
    """A word-level tokenizer of at most `D_VOCAB` words with bos, eos and pad.

    Args:
        words: The words in id order after the special tokens; `WORDS` and fillers if None.
        add_bos: Whether encoding puts the bos token first.
        chat_template: Jinja text, or None for a base model that has none.
        bos_token: The bos token, or None for a tokenizer in the style of Qwen.
        pad_token: The pad token, or None as in many base models.
    """
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    names = SPECIAL + list(words if words is not None else default_words())
    core = Tokenizer(WordLevel({name: i for i, name in enumerate(names)}, unk_token="<unk>"))
    core.pre_tokenizer = Whitespace()
    if add_bos and bos_token is not None:
        core.post_processor = TemplateProcessing(
            single=f"{bos_token} $A",
            pair=f"{bos_token} $A $B",
            special_tokens=[(bos_token, names.index(bos_token))],
        )
    made = PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token=bos_token,
        eos_token="</s>",
        pad_token=pad_token,
        unk_token="<unk>",
    )
    made.chat_template = chat_template
    return made


def default_words() -> list[str]:
    """The words of the default vocabulary, filled up to `D_VOCAB` ids with w0, w1, ..."""
    fillers = (f"w{i}" for i in range(D_VOCAB))
    words = list(WORDS)
    while len(words) + len(SPECIAL) < D_VOCAB:
        words.append(next(fillers))
    return words[: D_VOCAB - len(SPECIAL)]


def config(
    architecture: str,
    *,
    d_vocab: int = D_VOCAB,
    d_model: int = D_MODEL,
    n_layers: int = N_LAYERS,
    tied: bool | None = None,
):
    """The configuration of a tiny model of the named architecture.

    Args:
        architecture: One of `ARCHITECTURES`.
        d_vocab: Rows of the embedding.
        d_model: Width of the residual stream; a multiple of 16.
        n_layers: Number of blocks.
        tied: Whether embedding and unembedding are one tensor; the architecture's habit if None.
    """
    import transformers as tf

    common = {"vocab_size": d_vocab, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    if tied is not None:
        common["tie_word_embeddings"] = tied
    usual = {
        "hidden_size": d_model,
        "intermediate_size": 2 * d_model,
        "num_hidden_layers": n_layers,
        "num_attention_heads": 4,
        "max_position_embeddings": 128,
    }
    grouped = {"num_key_value_heads": 2}
    sized = {"head_dim": d_model // 4}
    gemma = {"query_pre_attn_scalar": d_model // 4}
    make: dict[str, Callable] = {
        "gpt2": lambda: tf.GPT2Config(
            n_embd=d_model, n_layer=n_layers, n_head=4, n_positions=128, **common
        ),
        "gpt_neox": lambda: tf.GPTNeoXConfig(**usual, **common),
        "llama": lambda: tf.LlamaConfig(**usual, **grouped, **common),
        "mistral": lambda: tf.MistralConfig(**usual, **grouped, sliding_window=4, **common),
        "qwen2": lambda: tf.Qwen2Config(**usual, **grouped, **common),
        "qwen3": lambda: tf.Qwen3Config(**usual, **grouped, **sized, **common),
        "gemma2": lambda: tf.Gemma2Config(
            **usual, **grouped, **sized, **gemma, sliding_window=4, **common
        ),
        "gemma3_text": lambda: tf.Gemma3TextConfig(
            **usual,
            **grouped,
            **sized,
            **gemma,
            sliding_window=4,
            layer_types=["sliding_attention"] * (n_layers - 1) + ["full_attention"],
            **common,
        ),
        "olmo2": lambda: tf.Olmo2Config(**usual, **grouped, **common),
        "phi3": lambda: tf.Phi3Config(**usual, **grouped, **common),
    }
    return make[architecture]()


def random_model(
    architecture: str,
    *,
    seed: int = 0,
    d_vocab: int = D_VOCAB,
    d_model: int = D_MODEL,
    n_layers: int = N_LAYERS,
    tied: bool | None = None,
):
    """A random model of the named architecture whose every parameter differs from its default.

    Norm weights and biases start at 1 or 0, where two models would agree by accident, so all are
    jittered. See `config` for the arguments; `seed` fixes every number.
    """
    from transformers import AutoModelForCausalLM

    settings = config(architecture, d_vocab=d_vocab, d_model=d_model, n_layers=n_layers, tied=tied)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = AutoModelForCausalLM.from_config(settings, attn_implementation="eager")
        with torch.no_grad():
            for parameter in made.parameters():
                wide = parameter.ndim > 1
                parameter.add_(torch.randn_like(parameter) * (0.15 if wide else 0.2))
    return made.eval()


def write(
    path: Path,
    architecture: str = "llama",
    *,
    seed: int = 0,
    d_vocab: int = D_VOCAB,
    d_model: int = D_MODEL,
    n_layers: int = N_LAYERS,
    tied: bool | None = None,
    add_bos: bool = True,
    chat_template: str | None = None,
    words: list[str] | None = None,
    edit: Callable[[torch.nn.Module], None] | None = None,
) -> Path:
    """Write one tiny checkpoint with its tokenizer to `path` and return `path`.

    `edit` may change the model's parameters before they are written; see `random_model` and
    `tokenizer` for the rest.
    """
    made = random_model(
        architecture, seed=seed, d_vocab=d_vocab, d_model=d_model, n_layers=n_layers, tied=tied
    )
    if edit is not None:
        with torch.no_grad():
            edit(made)
    made.save_pretrained(path)
    tokenizer(add_bos=add_bos, chat_template=chat_template, words=words).save_pretrained(path)
    return Path(path)


def write_adapter(
    path: Path,
    base: Path,
    *,
    targets: list[str] | None = None,
    seed: int = 0,
    zero: bool = False,
) -> Path:
    """Write a LoRA adapter for the checkpoint at `base` to `path` and return `path`.

    Args:
        path: Folder of the adapter.
        base: Folder of the checkpoint.
        targets: Names of the modules that are adapted; query and value projections if None.
        seed: Fixes the low-rank factors.
        zero: Leave the second factor at 0, as before training.
    """
    import warnings

    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    settings = LoraConfig(
        r=4, lora_alpha=8, target_modules=targets or ["q_proj", "v_proj"], task_type="CAUSAL_LM"
    )
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # GPT-2 stores its weights transposed, which PEFT mentions
        torch.manual_seed(seed)
        adapted = get_peft_model(model, settings)
        with torch.no_grad():
            for name, parameter in adapted.named_parameters():
                if "lora_B" in name and not zero:
                    parameter.copy_(torch.randn_like(parameter) * 0.2)
        adapted.save_pretrained(path)
    return Path(path)
