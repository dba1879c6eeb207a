"""What attribution is asked: a host run, a donor run, and where the donor's values would go."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from elicit.capture import Decomposed, Inputs, UnknownArchitectureError, decompose
from elicit.pair import Encoded, ModelPair
from elicit.patching.asked import checked_plan
from elicit.patching.attribution.running import run_from
from elicit.patching.columns import Positions
from elicit.patching.contrast import Contrast
from elicit.patching.errors import PatchError
from elicit.patching.plan import Batch, Plan, batches_of
from elicit.patching.reading import Reader, end_log_probs
from elicit.patching.ways import Across, Side, Within, side_of
from elicit.runs import Execution
from elicit.sites import Kind, Site


@dataclass(frozen=True, eq=False, kw_only=True)
class Question:
    """Whose activations would be put into whose run, checked before any model runs."""

    pair: ModelPair
    """The two models."""
    plan: Plan
    """Host, donor, prompts, sites and positions."""
    kind: str
    """`within` one model or `across` two."""
    direction: str
    """What is patched into what, in words."""
    side: str | None
    """The one model of a question within; None across."""
    host_name: str
    """Run whose activations would be overwritten."""
    donor_name: str
    """Run that the values come from."""

    @property
    def n_problems(self) -> int:
        """Problems, the unit of every interval."""
        return len(self.plan.contrast)


@dataclass(frozen=True, eq=False, kw_only=True)
class Case:
    """Problems of equal lengths: both runs' inputs, the donor's values, and what is read."""

    host: Decomposed
    """The model that is attributed."""
    problem: tuple[int, ...]
    """Place of each row among the problems."""
    inputs: Inputs
    """What the host's layers share."""
    reader: Reader
    """Reads the metric off the end of the host's run."""
    reads: Int[Tensor, "row read"]
    """Columns read."""
    inside: Float[Tensor, "row column pos"]
    """1 at the positions that belong to a column of the result, float64."""
    n_prompt: int
    """Positions of the prompt; what follows it is the answer."""
    given: Mapping[Site, Tensor]
    """The donor's values at whole sites."""
    donor_score: Float[Tensor, " row"]
    """The metric of the donor's own run."""

    def score(self, resid: Float[Tensor, "row pos d_model"]) -> Float[Tensor, " row"]:
        """The metric of each row; gradients flow.

        Args:
            resid: Residual stream after the last layer.
        """
        rows = torch.arange(len(self.reads), device=self.reads.device)
        return self.reader.from_resid(resid[rows[:, None], self.reads], rows)[0]


def ask_within(
    pair: ModelPair,
    contrast: Contrast,
    *,
    model: Side,
    direction: Within,
    sites: Sequence[Site | str],
    positions: Positions,
    metric: str,
    execution: Execution = Execution(),
) -> Question:
    """The question put to one model, from clean and corrupted prompts; arguments as `attribute`.

    Raises:
        PatchError: The contrast or an option does not fit the question.
        SiteError: The model does not have a site.
    """
    if contrast.corrupted is None:
        raise PatchError(
            "the contrast has no corrupted prompts, so clean and corrupted runs would be the same "
            "and every score exactly 0. Give corrupted prompts, or compare two models on the same "
            "prompts with attribute_across."
        )
    if direction not in ("denoise", "noise"):
        raise PatchError(
            f"direction is {direction!r}, and within a model one either denoises or noises. Pass "
            "'denoise' or 'noise'."
        )
    bridge = side_of(pair, model)
    prompts = (contrast.corrupted, contrast.clean)
    names = (f"{model}, corrupted prompt", f"{model}, clean prompt")
    host, donor = (0, 1) if direction == "denoise" else (1, 0)
    plan = _planned(
        pair,
        contrast,
        (bridge, bridge),
        (prompts[host], prompts[donor]),
        sites,
        positions,
        metric,
        execution,
    )
    return Question(
        pair=pair,
        plan=plan,
        kind="within",
        direction=direction,
        side=model,
        host_name=names[host],
        donor_name=names[donor],
    )


def ask_across(
    pair: ModelPair,
    contrast: Contrast,
    *,
    direction: Across,
    sites: Sequence[Site | str],
    positions: Positions,
    metric: str,
    execution: Execution = Execution(),
) -> Question:
    """The question put to two models on the same clean prompts; arguments as `attribute_across`.

    Raises:
        PatchError: The models are the same, or an option does not fit the question.
        SiteError: The models do not have a site.
    """
    if direction not in ("post_to_base", "base_to_post"):
        raise PatchError(
            f"direction is {direction!r}, and values go across the pair one of two ways. Pass "
            "'post_to_base' or 'base_to_post'."
        )
    if pair.identical:
        raise PatchError(
            f"{pair.base_name} and {pair.post_name} have the same weights, so every score would be "
            "exactly 0 and look like a finding. Pass a model and its post-trained sibling."
        )
    names = ("base", "post") if direction == "post_to_base" else ("post", "base")
    models = (side_of(pair, names[0]), side_of(pair, names[1]))
    rows = (contrast.clean, contrast.clean)
    plan = _planned(pair, contrast, models, rows, sites, positions, metric, execution)
    return Question(
        pair=pair,
        plan=plan,
        kind="across",
        direction=direction,
        side=None,
        host_name=names[0],
        donor_name=names[1],
    )


def _planned(
    pair: ModelPair,
    contrast: Contrast,
    models: tuple[nn.Module, nn.Module],
    rows: tuple[tuple[tuple[int, ...], ...], tuple[tuple[int, ...], ...]],
    sites: Sequence[Site | str],
    positions: Positions,
    metric: str,
    execution: Execution,
) -> Plan:
    """The plan of a sweep over the same cells: refuses whatever a sweep would."""
    plan = checked_plan(
        pair,
        contrast,
        host=models[0],
        donor=models[1],
        host_rows=rows[0],
        donor_rows=rows[1],
        sites=sites,
        positions=positions,
        metrics=(metric,),
        widths=(1,),
        controls=(),
        seed=0,
        execution=execution,
        engine="lanes",
    )
    for bridge in dict.fromkeys(models):
        _taken_apart(bridge)
    return plan


def _taken_apart(bridge: nn.Module) -> Decomposed:
    try:
        return decompose(bridge)
    except UnknownArchitectureError as error:
        raise PatchError(
            f"{error} Attribution needs gradients inside each layer, which one whole forward does "
            "not give: sweep exactly with within or across instead."
        ) from error


def cases(question: Question, sites: Iterable[Site]) -> Iterator[Case]:
    """The problems in batches, with the donor's values at some sites.

    Args:
        question: What is asked.
        sites: Where the donor is read; the residual stream entering the first layer always is.

    Raises:
        PatchError: A donor's value is NaN or infinite.
    """
    plan = question.plan
    host, donor = decompose(plan.host), decompose(plan.donor)
    wanted = {site.whole for site in sites} | {Site("resid_pre", 0)}
    for batch in batches_of(plan):
        with torch.no_grad():
            yield _case(question, batch, host, donor, wanted)


def _case(
    question: Question, batch: Batch, host: Decomposed, donor: Decomposed, wanted: set[Site]
) -> Case:
    plan = question.plan
    given: dict[Site, Tensor] = {}

    def keep(kind: Kind, layer: int, value: Tensor) -> Tensor:
        if (site := Site(kind, layer)) in wanted:
            given[site] = value
        return value

    inputs = _begun(donor, batch.donor)
    leaving, _ = run_from(donor, inputs, inputs.resid, keep)
    _refuse_infinite(given, batch, plan.contrast)
    rows = torch.arange(len(batch.problem), device=batch.reads.device)
    log_probs = None
    if "kl" in plan.metric:
        log_probs = end_log_probs(donor.unembed, leaving[rows, batch.reads[:, 0]], plan.d_vocab)

    def reader(model: Decomposed) -> Reader:
        return Reader(
            unembed=model.unembed,
            metric=plan.metric,
            answer=batch.answer,
            wrong=batch.wrong,
            d_vocab=plan.d_vocab,
            donor=log_probs,
        )

    at = torch.arange(batch.host.ids.shape[1], device=rows.device)
    low, high = batch.span[..., :1], batch.span[..., 1:]
    read = leaving[rows[:, None], batch.reads]
    return Case(
        host=host,
        problem=batch.problem,
        inputs=_begun(host, batch.host),
        reader=reader(host),
        reads=batch.reads,
        inside=((at >= low) & (at < high)).double(),
        n_prompt=int(batch.reads[0, 0]) + 1,
        given=given,
        donor_score=reader(donor).from_resid(read, rows)[0],
    )


def _begun(decomposed: Decomposed, batch: Encoded) -> Inputs:
    return decomposed.begin(batch.ids, batch.mask, batch.position_ids)


def _refuse_infinite(given: Mapping[Site, Tensor], batch: Batch, contrast: Contrast) -> None:
    for site, value in given.items():
        bad = ~value.isfinite().flatten(1).all(dim=1)
        if bool(bad.any()):
            place = batch.problem[int(bad.nonzero()[0])]
            raise PatchError(
                f"the donor's {site} is NaN or infinite on problem {contrast.id[place]!r}, so "
                "every score would be too. Load the models in float32, or leave the problem out."
            )
