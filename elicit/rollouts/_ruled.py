"""Write texts by a logit rule."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from elicit.pair import Encoded, Side
from elicit.results import digest_json
from elicit.rollouts._several import SeveralWriter, common_ids
from elicit.rollouts.errors import RolloutError
from elicit.rollouts.generation import Generation
from elicit.rollouts.loop import TokenDraws, Watch, drawing, write_ids
from elicit.rollouts.prompts import check_prompts
from elicit.rollouts.rules import LogitRule
from elicit.rollouts.streams import stream_key
from elicit.rollouts.writing import Row
from elicit.runs import Execution
from elicit.tasks import Task


@dataclass(frozen=True, kw_only=True)
class RuleWriter(SeveralWriter):
    """Writes texts of a model by a rule that reads further ones."""

    rule: LogitRule
    """Makes the logits that a token is drawn from."""
    n_common: int
    """Ids that all models have."""
    alike: Bool[Tensor, " d_vocab"] | None = field(repr=False)
    """Which of them mean the same token to all; None if all do."""

    @property
    def n_ids(self) -> int:
        """Ids that may be written are below this."""
        return self.n_common

    def other_prompts(self, task: Task) -> list[tuple[tuple[int, ...], ...]]:
        """Of every problem, the prompt that each model of the rule reads, in its own ids."""
        own = self.sampling.templated
        each = [
            check_prompts(
                model.side, task, templated=own if model.templated is None else model.templated
            )
            for model in self.rule.models
        ]
        return [tuple(tuple(ids) for ids in row) for row in zip(*each, strict=True)] or [()] * len(
            task
        )

    def _origin(self) -> str:
        return digest_json(["rule", self.rule.name, self.rule.vocab, super()._origin()])

    def _continued(
        self, model: nn.Module, padded: Encoded, rooms: list[int], batch: Sequence[Row]
    ) -> dict[str, Tensor]:
        sampling, room = self.sampling, torch.tensor(rooms, device=padded.ids.device)
        draws = TokenDraws(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            seeds=[stream_key(sampling.seed, row.problem, row.sample) for row in batch],
            n_written=[len(row.text) for row in batch],
        )
        watch = Watch(value=room.new_zeros(()), error=self._no_choice)

        def combined(logits: Sequence[Tensor]) -> Tensor:
            together = self._combined(logits)
            watch.value = together.amax(-1).min()
            return together

        new = write_ids(
            self._readers(model, padded, batch),
            drawing(draws, room, combine=combined),
            room=room,
            stop_ids=sampling.stop_ids,
            pad_id=self.side.alignment.pad_id,
            watch=watch,
        )
        return self._ended(new, rooms)

    def _no_choice(self, best: float) -> RolloutError:
        return RolloutError(
            f"by the rule {self.rule.name} the largest logit of a row is {best}, so what is drawn "
            "there means nothing. Use a number nearer to 0, or models that rule out fewer tokens."
        )

    def _combined(self, logits: Sequence[Tensor]) -> Tensor:
        """Logits by the rule, of ids that all models have."""
        device = logits[0].device
        together = self.rule.combine([each[:, : self.n_common].to(device) for each in logits])
        if self.alike is not None:
            together = together.masked_fill(~self.alike.to(device), -torch.inf)
        return together


def rule_writer(
    side: Side, rule: LogitRule, *, generation: Generation, seed: int, execution: Execution
) -> RuleWriter:
    """What writes texts of a model by a rule.

    `side`: whose texts they are. `rule`: reads further models. `seed`: of all random streams.

    Raises:
        RolloutError: The models' vocabularies differ, or see `rollouts`.
    """
    others = tuple(model.side for model in rule.models)
    shared, templated = rule.vocab == "shared", generation.templated
    n_common, alike = common_ids(side, others, shared=shared, templated=templated)
    own = generation.sampling(side, seed)
    # A text ends where any of the models would end it, unless the stops are given.
    more = () if generation.stop_ids is not None else [i for one in others for i in one.ends]
    known = range(n_common) if alike is None else set(alike.nonzero()[:, 0].tolist())
    stops = tuple(dict.fromkeys([*own.stop_ids, *(i for i in more if i in known)]))
    return RuleWriter(
        side=side,
        others=others,
        rule=rule,
        n_common=n_common,
        alike=alike,
        sampling=replace(own, stop_ids=stops, rule=rule.name),
        batch_size=generation.batch_size,
        edits_at=None,
        execution=execution,
    )
