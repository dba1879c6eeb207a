"""Speed of sampling beside Hugging Face's own `generate`, and of a dose curve beside single runs.

    python scripts/bench/rollouts.py --json FILE

A random Llama of 8 layers and width 512, 16 prompts of 24 tokens, 64 new tokens, both on the same
wrapped model. The two run in turn and are timed by the CPU time of their one thread, so that a busy
machine slows neither, and the median of the ratios of neighbours is told. A row is `name, value,
unit, goal, ok`.
"""

import argparse
import json
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

from elicit.edits import Steer, edited
from elicit.pair import ModelPair, load_pair
from elicit.rollouts import Generation, TokenDraws, continue_ids, dose_rollouts, rollouts
from elicit.sites import resid_post
from elicit.tasks import Problem, Task

Row = dict[str, object]
N_ROWS, N_PROMPT, N_NEW = 16, 24, 64
D_VOCAB, D_MODEL, N_LAYERS = 8192, 512, 8


def row(name: str, value: float, unit: str, goal: str = "") -> Row:
    """One figure beside its goal, e.g. `<= 1.05`."""
    ok: bool | None = None
    if goal:
        sign, limit = goal.split()
        ok = value <= float(limit) if sign == "<=" else value >= float(limit)
    return {"name": name, "value": round(value, 4), "unit": unit, "goal": goal, "ok": ok}


def seconds(work: Callable[[], object]) -> float:
    """CPU time of one run."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def beside(
    ours: Callable[[], object], theirs: Callable[[], object], repeats: int
) -> tuple[float, float]:
    """Median time of ours, and median ratio to theirs run right after or before."""
    ours(), theirs()
    taken, ratios = [], []
    for turn in range(repeats):
        first, second = (ours, theirs) if turn % 2 else (theirs, ours)
        times = {first: seconds(first), second: seconds(second)}
        taken.append(times[ours])
        ratios.append(times[ours] / times[theirs])
    return median(taken), median(ratios)


def random_pair(folder: Path) -> ModelPair:
    """Two random Llamas with a tokenizer of made-up words."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = ["<pad>", "<s>", "</s>", "<unk>", *(f"w{i}" for i in range(D_VOCAB - 4))]
    core = Tokenizer(WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    core.pre_tokenizer = Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>", pad_token="<pad>",
        unk_token="<unk>",
    )  # fmt: skip
    config = LlamaConfig(
        vocab_size=D_VOCAB, hidden_size=D_MODEL, intermediate_size=4 * D_MODEL,
        num_hidden_layers=N_LAYERS, num_attention_heads=8, max_position_embeddings=512,
        bos_token_id=1, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    for seed, name in enumerate(("base", "post")):
        torch.manual_seed(seed)
        LlamaForCausalLM(config).save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    return load_pair(folder / "base", folder / "post")


def generation(pair: ModelPair, repeats: int) -> Iterator[Row]:
    """The token loop against `generate`, greedy and sampled, no text ending early."""
    model = pair.base.original_model
    ids = torch.randint(4, D_VOCAB, (N_ROWS, N_PROMPT), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    for name, drawn, top_p in (
        ("greedy", False, 1.0),
        ("sampled", True, 1.0),
        ("top_p", True, 0.9),
    ):

        def ours(drawn: bool = drawn, top_p: float = top_p) -> Tensor:
            return continue_ids(
                model, ids, mask, max_new_tokens=N_NEW, stop_ids=[], pad_id=0,
                draws=TokenDraws(
                    top_p=top_p, temperature=float(drawn), seeds=range(N_ROWS) if drawn else ()
                ),
            )  # fmt: skip

        def theirs(drawn: bool = drawn, top_p: float = top_p) -> Tensor:
            return model.generate(
                input_ids=ids, attention_mask=mask, max_new_tokens=N_NEW, do_sample=drawn,
                eos_token_id=None, pad_token_id=0, top_k=0 if drawn else None,
                top_p=top_p if drawn else None, temperature=1.0 if drawn else None,
            )  # fmt: skip

        taken, ratio = beside(ours, theirs, repeats)
        yield row(f"{name}: {N_NEW} new tokens of {N_ROWS} rows", taken, "s")
        yield row(f"{name}: share of Hugging Face generate", ratio, "1", "<= 1.05")
    same = torch.equal(
        continue_ids(model, ids, mask, max_new_tokens=N_NEW, stop_ids=[], pad_id=0),
        model.generate(
            input_ids=ids, attention_mask=mask, max_new_tokens=N_NEW, do_sample=False,
            eos_token_id=None, pad_token_id=0,
        )[:, N_PROMPT:],
    )  # fmt: skip
    yield row("greedy: same tokens as generate", float(same), "1", ">= 1")


def doses(pair: ModelPair, repeats: int) -> Iterator[Row]:
    """Eight strengths of four problems in one batch, against one run a strength."""
    task = Task(
        name="words",
        problems=tuple(
            Problem(
                id=str(i), prompt=" ".join(f"w{i + j}" for j in range(N_PROMPT - 1)), answer="w1"
            )
            for i in range(4)
        ),
    )
    vector = torch.randn(D_MODEL, generator=torch.Generator().manual_seed(0))
    strengths = [i / 8 for i in range(8)]
    options = {"generation": Generation(temperature=1.0, max_new_tokens=N_NEW)}

    def at_once() -> object:
        return dose_rollouts(
            pair.side("base"), task,
            lambda scale: [Steer(resid_post(4), vector, scale=scale)],
            strengths=strengths, **options,
        )  # fmt: skip

    def one_by_one() -> object:
        for scale in strengths:
            with edited(pair.base, [Steer(resid_post(4), vector, scale=scale)]):
                rollouts(pair.side("base"), task, **options)
        return None

    taken, ratio = beside(at_once, one_by_one, repeats)
    yield row("dose curve: 8 strengths of 4 problems", taken, "s")
    yield row("dose curve: share of one run a strength", ratio, "1", "<= 0.6")


def main() -> None:
    """Measure, print and write the rows."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        pair = random_pair(Path(folder))
    rows: list[Row] = []
    repeats = arguments.repeats
    for found in chain(generation(pair, repeats), doses(pair, repeats // 2 or 1)):
        rows.append(found)
        mark = {None: "    ", True: "ok  ", False: "MISS"}[found["ok"]]  # pyright: ignore[reportArgumentType]
        sys.stdout.write(
            f"{mark} {found['name']}: {found['value']} {found['unit']} {found['goal']}\n"
        )
        sys.stdout.flush()
    sys.stdout.write(f"torch {torch.__version__}, {torch.get_num_threads()} thread\n")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
