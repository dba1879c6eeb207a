"""The same training by trl: GRPO and fine-tuning of a plain copy, with the same result."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from elicit import fitting
from elicit.elicitation.training import _limits
from elicit.elicitation.training._course import Course
from elicit.elicitation.training._finished import Told, finished
from elicit.elicitation.training._parametrised import size_of
from elicit.elicitation.training._reading import Row
from elicit.elicitation.training._twin import (
    Twin,
    follows,
    keep_code_lengths,
    quiet,
    scratch,
    silent,
    trl_module,
)
from elicit.elicitation.training.errors import TrainingError
from elicit.elicitation.training.plans import FineTunePlan, GrpoPlan
from elicit.elicitation.training.rewards import Reward, Written
from elicit.elicitation.training.trained import Trained
from elicit.pair import Side, device_of
from elicit.rollouts import check_prompts, stream_key
from elicit.runs import Execution
from elicit.tasks import Problem, Task, check

TUNED = ("loss", "bits", "gradient norm", "tokens", "flops")
"""What fine-tuning measures, as the own loop does."""


def grpo_by_trl(
    told: Told, task: Task, *, reward: Reward, choose: Task | None, execution: Execution
) -> Trained:
    """See `grpo`; texts are sampled by the model's own generate, which depends on their batch.

    Args:
        told: What was asked for.
        task: Problems to train on.
        reward: What a text earns.
        choose: Problems to choose on.
        execution: Tokens of a forward.
    """
    trl, plan, side = trl_module(), told.plan, told.side
    order = _order(len(task), plan.groups, plan.steps, told.seed)
    problems = [task.problems[i] for i in order]
    graded = _Graded(side, problems, reward, plan, told.seed)
    twin = Twin(side, told.trainable)
    course = _course(
        told,
        twin,
        choose,
        execution,
        stop=lambda measured: _limits.stop_reason(plan, measured),
        check=lambda measured: _limits.check_varied(plan, measured),
    )
    with scratch() as folder, quiet():
        config = trl.GRPOConfig(
            **_common(folder, told, twin),
            per_device_train_batch_size=plan.groups * plan.group,
            num_generations=plan.group,
            max_completion_length=plan.generation.max_new_tokens,
            temperature=1.0,
            top_p=1.0,
            beta=0.0,
            num_iterations=1,
            loss_type="dapo",
            scale_rewards="group",
            shuffle_dataset=False,
        )
        trainer = silent(trl.GRPOTrainer)(
            model=twin.model,
            reward_funcs=graded,
            args=config,
            train_dataset=_dataset([{"prompt": p, "row": i} for i, p in enumerate(graded.prompts)]),
            processing_class=graded.tokenizer,
            callbacks=[follows(twin, course, graded.logged, plan.every)],
            peft_config=twin.adapter,
        )
        twin.taken_up(trainer, seed=told.seed)
        trainer.train()
    return finished(told, course, torch.stack(graded.measured), _limits.MEASURES)


def tune_by_trl(
    told: Told, rows: Sequence[Row], *, choose: Task | None, execution: Execution
) -> Trained:
    """See `fine_tune`: the same updates in the same order, up to rounding.

    Args:
        told: What was asked for.
        rows: The documents as token ids.
        choose: Problems to choose on.
        execution: Tokens of a forward.
    """
    trl, plan, side = trl_module(), told.plan, told.side
    order = _order(len(rows), plan.batch, plan.steps, told.seed)
    twin = Twin(side, told.trainable)
    course = _course(told, twin, choose, execution, stop=lambda _: "", check=lambda _: None)
    measured: list[Tensor] = []
    lengths: list[list[float]] = []

    def logged(logs: dict[str, float]) -> Tensor:
        batch = [rows[i] for i in order[len(measured) * plan.batch :][: plan.batch]]
        n_tokens = sum(len(row.prompt) + len(row.text) for row in batch)
        values = {
            "loss": float(logs["loss"]),
            "bits": _first_told(order, len(measured) * plan.batch, lengths[len(measured)]),
            "gradient norm": float(logs.get("grad_norm", math.nan)),
            "tokens": float(n_tokens),
            "flops": float(6 * size_of(side.bridge) * n_tokens),
        }
        measured.append(torch.tensor([values[name] for name in TUNED], dtype=torch.float64))
        return torch.stack(measured)

    data = [
        {
            "input_ids": [*rows[i].prompt, *rows[i].text],
            "completion_mask": [0] * len(rows[i].prompt) + [1] * len(rows[i].text),
        }
        for i in order
    ]
    with scratch() as folder, quiet():
        config = trl.SFTConfig(
            **_common(folder, told, twin),
            per_device_train_batch_size=plan.batch,
            completion_only_loss=True,
            max_length=None,
            packing=False,
        )
        trainer = silent(trl.SFTTrainer)(
            model=twin.model,
            args=config,
            train_dataset=_dataset(data),
            processing_class=side.alignment.tokenizer,
            callbacks=[follows(twin, course, logged, plan.every)],
            peft_config=twin.adapter,
        )
        trainer._get_train_sampler = lambda *_: torch.utils.data.SequentialSampler(
            trainer.train_dataset
        )
        twin.taken_up(trainer, seed=told.seed, warm_up=plan.warm_up)
        keep_code_lengths(twin.model, lengths)
        trainer.train()
    return finished(told, course, torch.stack(measured), TUNED)


class _Graded:
    """A reward as trl calls it, with what was measured of every batch of texts."""

    __name__ = "reward"

    def __init__(
        self, side: Side, problems: list[Problem], reward: Reward, plan: GrpoPlan, seed: int
    ) -> None:
        """Spell the prompts, and make sure that trl reads the same tokens."""
        self.side, self.problems, self.reward = side, problems, reward
        self.plan, self.seed = plan, seed
        templated = plan.generation.templated
        alignment = side.alignment
        self.tokenizer: Any = alignment.template_tokenizer if templated else alignment.tokenizer
        self.prompts = [alignment.spelled(p.turns, templated=templated) for p in problems]
        unique = {p.id: p for p in problems}
        ours = check_prompts(
            side, Task(name="prompts", problems=tuple(unique.values())), templated=templated
        )
        texts = [alignment.spelled(p.turns, templated=templated) for p in unique.values()]
        for problem, ids, theirs in zip(
            unique.values(), ours, self.tokenizer(text=texts)["input_ids"], strict=True
        ):
            if list(theirs) != ids:
                raise TrainingError(
                    f"trl reads problem {problem.id!r} as {len(theirs)} tokens and elicit as "
                    f"{len(ids)}, so it would train on other prompts. Use backend='own'."
                )
        self.n_prompt = dict(zip(unique, map(len, ours), strict=True))
        self.found: list[dict[str, float]] = []
        self.measured: list[Tensor] = []

    def __call__(self, *, prompts: Any, completions: Any, completion_ids: Any, row: Any, **_: Any):
        """What every text earns."""
        plan, number, earned = self.plan, len(self.found), []
        right = 0
        for place, (ids, at) in enumerate(zip(completion_ids, row, strict=True)):
            problem = self.problems[int(at)]
            text = str(self.tokenizer.decode(list(ids), skip_special_tokens=True))
            graded = check(text, problem, plan.generation.extract)
            right += graded.correct
            written = Written(
                problem=problem,
                text=text,
                extracted=graded.extracted,
                correct=graded.correct,
                truncated=int(ids[-1]) not in plan.generation.stops(self.side),
                n_tokens=len(ids),
                key=stream_key(self.seed, f"reward\n{number}", place),
            )
            earned.append(self.reward(written))
        rewards = torch.tensor(earned, dtype=torch.float64).view(-1, plan.group)
        n_written = sum(map(len, completion_ids))
        groups = [self.problems[int(at)] for at in row[:: plan.group]]
        n_prompt = sum(self.n_prompt[problem.id] for problem in groups)
        n_all = n_prompt * plan.group + n_written
        told = self.reward.sees != "nothing"
        self.found.append(
            {
                "reward": rewards.mean().item(),
                "right": right / len(earned),
                "length": n_written / len(earned),
                "with gradient": (rewards.amax(1) > rewards.amin(1)).double().mean().item(),
                "bits": _limits.bits_of(rewards) if told else 0.0,
                "tokens": float(n_prompt + n_written),
                "flops": 8.0 * size_of(self.side.bridge) * n_all,
            }
        )
        return earned

    def logged(self, logs: dict[str, float]) -> Tensor:
        """All updates so far, with what the trainer says of the last one."""
        values = {
            **self.found[len(self.measured)],
            "entropy": float(logs.get("entropy", math.nan)),
            "gradient norm": float(logs.get("grad_norm", math.nan)),
        }
        self.measured.append(
            torch.tensor([values[name] for name in _limits.MEASURES], dtype=torch.float64)
        )
        return torch.stack(self.measured)


def _first_told(order: list[int], begin: int, lengths: list[float]) -> float:
    """Code length in bits of those documents of a batch that were not read before."""
    known, bits = set(order[:begin]), 0.0
    for place, nats in zip(order[begin:], lengths, strict=False):
        bits += nats / math.log(2) if place not in known else 0.0
        known.add(place)
    return bits


def _order(n: int, size: int, steps: int, seed: int) -> list[int]:
    """Places of all updates, in the order of the own loop."""
    generator = torch.Generator().manual_seed(seed)
    return fitting.in_epochs(lambda: torch.randperm(n, generator=generator).tolist(), size * steps)


def _course(
    told: Told, twin: Twin, choose: Task | None, execution: Execution, *, stop: Any, check: Any
) -> Course:
    plan: GrpoPlan | FineTunePlan = told.plan
    return Course(
        side=told.side,
        trained=twin,
        choose=choose,
        generation=plan.generation,
        stop=stop,
        stop_right=plan.stop_right,
        check=check,
        execution=Execution(max_tokens=execution.max_tokens),
        steps=plan.steps,
    )


def _common(folder: str, told: Told, twin: Twin) -> dict[str, Any]:
    """Arguments that both trainers share."""
    plan: GrpoPlan | FineTunePlan = told.plan
    return {
        "output_dir": folder,
        "max_steps": plan.steps,
        "learning_rate": told.rate,
        "lr_scheduler_type": "constant",
        "adam_beta2": 0.98,
        "weight_decay": 0.0,
        "max_grad_norm": plan.clip_norm,
        "gradient_accumulation_steps": 1,
        "gradient_checkpointing": False,
        "bf16": False,
        "fp16": False,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": device_of(twin.model).type == "cpu",
        "seed": told.seed,
        "data_seed": told.seed,
    }


def _dataset(rows: list[dict[str, Any]]) -> Any:
    """Rows as trl reads them, in memory."""
    import datasets  # pyright: ignore[reportMissingImports]

    return datasets.Dataset.from_list(rows)
