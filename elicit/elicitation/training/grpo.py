"""Reinforcement learning on rewards of a model's own texts (GRPO)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from elicit import fitting
from elicit.elicitation.training._course import Course, output_norms
from elicit.elicitation.training._finished import Told, finished, origin_of
from elicit.elicitation.training._limits import (
    MEASURES,
    bits_of,
    check_budget,
    check_parts,
    check_varied,
    stop_reason,
)
from elicit.elicitation.training._parametrised import Parametrised, size_of
from elicit.elicitation.training._reading import Row, TextReader
from elicit.elicitation.training._ways import parametrised
from elicit.elicitation.training.errors import TrainingError
from elicit.elicitation.training.plans import GrpoPlan, Trainable
from elicit.elicitation.training.rewards import AnswerReward, Reward, Written
from elicit.elicitation.training.trained import Trained
from elicit.pair import Side, hugging_face_model
from elicit.rollouts import Rollouts, check_prompts, rollouts, stream_key
from elicit.runs import Execution
from elicit.tasks import Problem, Task

_SMOOTH = 0.1
"""Added to the standard deviation of a group's rewards."""


def grpo(
    side: Side,
    task: Task,
    *,
    reward: Reward = AnswerReward(),
    choose: Task | None = None,
    trainable: Trainable = "all",
    plan: GrpoPlan = GrpoPlan(),
    seed: int = 0,
    execution: Execution = Execution(),
) -> Trained:
    """Train a model on rewards of its own texts; one on-policy update a batch, no KL term.

    A text's advantage is its reward minus the mean of its problem's texts, over their standard
    deviation plus 0.1; problems whose texts all earn the same give no gradient. The model is left
    as it was.

    Args:
        side: The model.
        task: Problems to train on; one problem or a few are one- or few-example training.
        reward: What a text earns.
        choose: Problems on which the number of updates is chosen; None takes all updates.
        trainable: What is trained.
        plan: Sizes, rates, budget, generation and whose loop: trl's keeps no checkpoint, and its
            texts depend on their batch.
        seed: Of the order of problems, of the texts and of whatever is drawn.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        ConstantRewardError: All texts of the first updates earned the same.
        TrainingError: The budget is below one update, a reward is not finite, or problems to choose
            on are among those to train on.
        TaskError: A prompt fills the context window.

    Source: Shao et al. 2024, arXiv:2402.03300 (GRPO). One update a batch makes every ratio 1, so
        nothing is clipped; token-wise mean over the batch as in Yu et al. 2025, arXiv:2503.14476.
    """
    check_parts(task, choose)
    prompts = check_prompts(side, task, templated=plan.generation.templated)
    least = sum(sorted(map(len, prompts))[:1]) * plan.groups + plan.groups * plan.group
    check_budget(plan, least, "at least")
    told = Told(
        side=side,
        method=f"GRPO, {reward.name}",
        trainable=trainable,
        sees=reward.sees,
        seed=seed,
        tasks=(task,) if choose is None else (task, choose),
        plan=plan,
    )
    if plan.backend == "trl":
        from elicit.elicitation.training._trl import grpo_by_trl

        return grpo_by_trl(told, task, reward=reward, choose=choose, execution=execution)
    execution = execution.scoped(f"grpo-{origin_of(told)}")
    norms = output_norms(side, prompts, execution)
    trained = parametrised(side.bridge, trainable, norms=norms, seed=seed)
    with trained.installed():
        updates = _Updates(
            side=side, task=task, reward=reward, plan=plan, seed=seed, execution=execution
        )
        course = Course(
            side=side,
            trained=trained,
            choose=choose,
            generation=plan.generation,
            stop=lambda measured: stop_reason(plan, measured),
            stop_right=plan.stop_right,
            check=lambda measured: check_varied(plan, measured),
            execution=execution,
            steps=plan.steps,
        )
        measured = fitting.fit(
            torch.optim.AdamW(trained.leaves, betas=(0.9, 0.98), weight_decay=0.0),
            lambda number: updates.step(number, trained),
            steps=plan.steps,
            rate=fitting.constant(plan.rate(trainable)),
            label=f"{told.method}, {trainable}",
            every=plan.every,
            watch=course,
            execution=execution,
        )
    return finished(told, course, measured, MEASURES)


@dataclass(frozen=True, kw_only=True)
class _Updates:
    """The updates of a training, by number."""

    side: Side
    task: Task
    reward: Reward
    plan: GrpoPlan
    seed: int
    execution: Execution

    def step(self, number: int, trained: Parametrised) -> Float[Tensor, " measure"]:
        """Write texts, reward them and leave their gradient; what was measured."""
        trained.refresh()
        problems = self._problems(number)
        written = self._write(problems, number)
        rewards = self._rewards(problems, written)
        weights = advantages(rewards)
        n_tokens = written.n_tokens.view(rewards.shape)
        moving = (weights != 0).any(1)
        n_moving = max(1, int(n_tokens[moving].sum()))
        rows = [
            Row(
                prompt=tuple(written.prompt_ids(row)),
                text=tuple(written.ids(row)),
                weight=weight / n_moving,
            )
            for row, weight in enumerate(weights.flatten().tolist())
        ]
        reader = TextReader(
            hugging_face_model(self.side.bridge),
            self.side.alignment,
            max_tokens=self.execution.max_tokens,
            memory=self.execution.memory,
        )
        read = reader.read(rows)
        trained.pull()
        norm = torch.nn.utils.clip_grad_norm_(trained.leaves, self.plan.clip_norm)
        n_prompt, n_written = int(written.n_prompt.sum()), int(n_tokens.sum())
        n_parameters = size_of(self.side.bridge)
        generated = 2 * n_parameters * (n_prompt * self.plan.group + n_written)
        bits = bits_of(rewards) if self.reward.sees != "nothing" else 0.0
        values = {
            "reward": rewards.mean().item(),
            "right": written.correct.double().mean().item(),
            "entropy": read.entropy.sum().item() / n_written,
            "length": n_tokens.double().mean().item(),
            "with gradient": moving.double().mean().item(),
            "gradient norm": float(norm),
            "bits": bits,
            "tokens": float(n_prompt + n_written),
            "flops": float(generated + n_parameters * (6 * read.n_moved + 2 * read.n_still)),
        }
        return torch.tensor([values[name] for name in MEASURES], dtype=torch.float64)

    def _problems(self, number: int) -> list[Problem]:
        """The problems of an update; all problems come once before any comes again."""
        generator = torch.Generator().manual_seed(self.seed)
        n = len(self.task)
        order = fitting.in_epochs(
            lambda: torch.randperm(n, generator=generator).tolist(), (number + 1) * self.plan.groups
        )
        return [self.task.problems[i] for i in order[number * self.plan.groups :]]

    def _write(self, problems: Sequence[Problem], number: int) -> Rollouts:
        """Texts of the model as it is, some for each problem."""
        # A problem that comes several times in an update is a problem of its own each time.
        named = [replace(p, id=f"{place}\n{p.id}") for place, p in enumerate(problems)]
        drawn = replace(self.plan.generation, temperature=1.0, top_p=1.0, n_samples=self.plan.group)
        return rollouts(
            self.side,
            Task(name=self.task.name, problems=tuple(named)),
            generation=drawn,
            seed=stream_key(self.seed, "update", number),
            execution=Execution(max_tokens=self.execution.max_tokens),
        )

    def _rewards(
        self, problems: Sequence[Problem], written: Rollouts
    ) -> Float[Tensor, "group text"]:
        """What every text earns."""
        seed = written.sampling.seed
        earned = [
            self.reward(
                Written(
                    problem=problems[place],
                    text=written.text[row],
                    extracted=written.extracted[row],
                    correct=bool(written.correct[row]),
                    truncated=bool(written.truncated[row]),
                    n_tokens=int(written.n_tokens[row]),
                    key=stream_key(seed, f"reward\n{place}", int(written.sample[row])),
                )
            )
            for row, place in enumerate(written.place.tolist())
        ]
        rewards = torch.tensor(earned, dtype=torch.float64)
        if not bool(rewards.isfinite().all()):
            row = int((~rewards.isfinite()).nonzero()[0])
            raise TrainingError(
                f"the reward {self.reward.name!r} is {earned[row]} for a text of problem "
                f"{problems[int(written.place[row])].id!r}, so no mean could be taken off it. Give "
                "every text a finite reward."
            )
        return rewards.view(-1, self.plan.group)


def advantages(rewards: Float[Tensor, "group text"]) -> Float[Tensor, "group text"]:
    """How much better each text is than the others of its problem.

    Args:
        rewards: What each text of each problem earned.

    Returns:
        (reward - mean) / (standard deviation + 0.1); exactly 0 where all texts earned the same.
    """
    wide = rewards.double()
    apart = wide - wide.mean(1, keepdim=True)
    same = wide.amax(1, keepdim=True) == wide.amin(1, keepdim=True)
    return torch.where(same, 0.0, apart / (wide.std(1, keepdim=True) + _SMOOTH))
