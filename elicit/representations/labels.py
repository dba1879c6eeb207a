"""Labelled token positions: the examples of a probe."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from elicit.capture import check_vectors, stream
from elicit.representations.errors import RepresentationError
from elicit.results import digest_json
from elicit.runs import Execution
from elicit.sites import Site


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """Labelled examples: a token position in a text, its label and its problem.

    Raises:
        RepresentationError: Fields differ in length, a row is empty, or a position is outside its
            row.
    """

    rows: tuple[tuple[int, ...], ...]
    """Token ids of each example's text; a text may occur at several positions."""
    position: tuple[int, ...]
    """Position that is read, from 0; negative arguments count from the row's end."""
    label: tuple[str, ...]
    """Label that a probe predicts."""
    problem: tuple[str, ...]
    """Problem of each example, never split between fit and test."""
    type: tuple[str, ...] = ()
    """Type that fixes the control task's label; default: the token read."""

    def __post_init__(self) -> None:
        """Refuse unreadable examples, and count positions from 0."""
        n = len(self.rows)
        if not n:
            raise RepresentationError(
                "there are no examples, so there is nothing to fit. Pass labelled positions."
            )
        for name in ("position", "label", "problem", *(("type",) if self.type else ())):
            if len(getattr(self, name)) != n:
                raise RepresentationError(
                    f"rows has {n} entries and {name} has {len(getattr(self, name))}, so they "
                    "cannot be matched. Pass one entry per example in each."
                )
        for index, (row, place) in enumerate(zip(self.rows, self.position, strict=True)):
            if not row:
                raise RepresentationError(
                    f"row {index} has no token, so there is nothing to read. Leave that "
                    "example out."
                )
            if not -len(row) <= place < len(row):
                raise RepresentationError(
                    f"position {place} is requested in row {index}, which has {len(row)} tokens. "
                    f"Pass {-len(row)} to {len(row) - 1}."
                )
        indices = zip(self.rows, self.position, strict=True)
        object.__setattr__(self, "position", tuple(p % len(row) for row, p in indices))
        if not self.type:
            tokens = zip(self.rows, self.position, strict=True)
            object.__setattr__(self, "type", tuple(str(row[p]) for row, p in tokens))

    @classmethod
    def from_examples(
        cls, examples: Sequence[tuple[Sequence[int], int, object, object]]
    ) -> "Labelled":
        """Examples from tuples of token ids, position, label and problem.

        Raises:
            RepresentationError: See the class.
        """
        return cls(
            rows=tuple(tuple(map(int, row)) for row, _, _, _ in examples),
            position=tuple(int(index) for _, index, _, _ in examples),
            label=tuple(str(label) for _, _, label, _ in examples),
            problem=tuple(str(problem) for _, _, _, problem in examples),
        )

    def __len__(self) -> int:
        """Examples."""
        return len(self.rows)

    def take(self, which: Sequence[int]) -> "Labelled":
        """Subset of the examples."""
        return Labelled(
            rows=tuple(self.rows[i] for i in which),
            position=tuple(self.position[i] for i in which),
            label=tuple(self.label[i] for i in which),
            problem=tuple(self.problem[i] for i in which),
            type=tuple(self.type[i] for i in which),
        )

    @property
    def labels(self) -> tuple[str, ...]:
        """Distinct labels, sorted."""
        return tuple(sorted(set(self.label)))

    @property
    def target(self) -> Int[Tensor, " example"]:
        """Index of each example's label in `labels`."""
        return numbered(self.label)

    @property
    def group(self) -> Int[Tensor, " example"]:
        """Index of each example's problem, by sorted name."""
        return numbered(self.problem)

    @property
    def digest(self) -> str:
        """SHA-256 of all fields."""
        return digest_json([self.rows, self.position, self.label, self.problem, self.type])

    def check(self, *, least: int) -> None:
        """Refuse labels on which no probe can be fitted and tested.

        Raises:
            RepresentationError: All labels are equal, or one occurs in too few problems.
        """
        labels = self.labels
        if len(labels) < 2:
            raise RepresentationError(
                f"all {len(self)} examples have the label {next(iter(labels))!r}, so there is "
                "nothing to classify. Pass examples of at least two labels."
            )
        pairs = sorted(set(zip(self.label, self.problem, strict=True)))
        held = Counter(label for label, _ in pairs)
        label, n = min(held.items(), key=lambda item: (item[1], item[0]))
        if n == 1:
            own = next(problem for name, problem in pairs if name == label)
            raise RepresentationError(
                f"all examples labelled {label!r} are of the one problem {own!r}, so it cannot be "
                f"fitted and tested: a problem is never split. Pass it in {least} problems or more."
            )
        if n < least:
            raise RepresentationError(
                f"the label {label!r} occurs in {n} problems and {least} are needed to fit, "
                "validate and test on different ones. Pass more problems, or merge rare labels."
            )


def numbered(names: Sequence[str]) -> Int[Tensor, " example"]:
    """Index of each name among the sorted distinct names."""
    index = {name: i for i, name in enumerate(sorted(set(names)))}
    return torch.tensor([index[name] for name in names])


def read_labelled(
    model: nn.Module,
    labelled: Labelled,
    *,
    sites: Sequence[Site],
    pad_id: int,
    execution: Execution = Execution(),
) -> Float[Tensor, "site example d_model"]:
    """Activations of a model at every labelled position, in float64.

    Args:
        model: A bridge in raw mode.
        labelled: The positions.
        sites: Sites of one width; all heads of a site are concatenated.
        pad_id: Id put where a row has no token.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        SiteError: The model does not have a site.
        CaptureError: The model cannot read a row.
        RepresentationError: Sites differ in width, or an activation is not finite.
    """
    check_vectors(sites)
    texts = tuple(dict.fromkeys(labelled.rows))
    place = {text: i for i, text in enumerate(texts)}
    examples: dict[int, list[int]] = {}
    for index, row in enumerate(labelled.rows):
        examples.setdefault(place[row], []).append(index)
    position = torch.tensor(labelled.position)
    result: Tensor | None = None
    for chunk in stream(model, texts, sites=sites, pad_id=pad_id, execution=execution):
        which = torch.tensor([i for text in chunk.rows for i in examples[text]])
        line = torch.tensor([k for k, text in enumerate(chunk.rows) for _ in examples[text]])
        values = []
        for site in sites:
            value = chunk.captured.at[site]
            picked = value[line.to(value.device), position[which].to(value.device)]
            values.append(picked.flatten(1).double().cpu())
        check_widths(sites, [value.shape[1] for value in values])
        stacked = torch.stack(values)
        if result is None:
            result = stacked.new_empty(len(sites), len(labelled), stacked.shape[2])
        result[:, which] = stacked
    assert result is not None
    check_finite(result, [str(site) for site in sites])
    return result


def check_widths(sites: Sequence[Site], widths: Sequence[int]) -> None:
    """Refuse sites of different widths.

    Raises:
        RepresentationError: Names two sites that differ.
    """
    for site, width in zip(sites, widths, strict=True):
        if width != widths[0]:
            raise RepresentationError(
                f"{sites[0]} is {widths[0]} wide and {site} is {width}, so they do not fit into "
                "one batch of probes. Pass them in two calls."
            )


def check_finite(x: Float[Tensor, "site example d_model"], sites: Sequence[str]) -> None:
    """Refuse activations that are not finite.

    Raises:
        RepresentationError: Names the site and how many examples.
    """
    bad = ~x.isfinite().all(dim=-1)
    if bool(bad.any()):
        site = int(bad.any(1).nonzero()[0])
        raise RepresentationError(
            f"{int(bad[site].sum())} of {x.shape[1]} activations at {sites[site]} are NaN or "
            "infinite, so every number after them would be too. Load the model in float32, or "
            "leave those examples out."
        )
