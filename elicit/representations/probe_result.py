"""What each layer knows: the result of probing both models."""

from dataclasses import dataclass
from typing import Annotated

from jaxtyping import Float
from torch import Tensor

from elicit.representations.errors import RepresentationError
from elicit.results import Estimate, Result


@dataclass(frozen=True, eq=False, kw_only=True)
class ProbeReport(Result):
    """How well a linear probe of each layer tells labels of problems it has not seen."""

    kind: str
    """`logistic` or `ridge`."""
    model: tuple[str, ...]
    """`base` and `post`, each with probes of its own."""
    site: tuple[str, ...]
    """Site of each probe."""
    label: tuple[str, ...]
    """Labels told apart."""
    accuracy: Annotated[Estimate, "model site"]
    """Share of test examples told right."""
    auroc: Annotated[Estimate, "model site"]
    """Area under the ROC curve; of more than two labels, the mean of each against the rest."""
    control: Annotated[Estimate, "model site"]
    """Control: accuracy on labels fixed at random for each type. NaN: there is only one type."""
    selectivity: Annotated[Estimate, "model site"]
    """Accuracy minus that on the control task."""
    shuffled: Annotated[Estimate, "model site"]
    """Control: accuracy of a probe fitted and tested on labels dealt out anew; chance."""
    surface: tuple[str, ...]
    """Ways to tell without any model: the most frequent label, or a probe of the token, of its
    place in the row, or of both."""
    surface_accuracy: Annotated[Estimate, " surface"]
    """Share of test examples told right that way."""
    baseline: str
    """The way that tells most test examples right."""
    gain: Annotated[Estimate, "model site"]
    """Accuracy minus that of the baseline, on the same examples."""
    p: Float[Tensor, "model site"]
    """Two-sided p-value of the gain, adjusted over models and sites (max-T)."""
    difference: Annotated[Estimate, " site"]
    """Accuracy in post minus accuracy in base."""
    l2: Float[Tensor, "model site"]
    """Penalty of each probe."""
    n_fit: int
    """Examples fitted on."""
    n_test: int
    """Examples tested on."""
    n_problems: int
    """Problems tested on, the unit of every interval."""
    n_types: int
    """Types that the labels of the control task are fixed by."""
    level: float
    """Nominal coverage of the intervals."""

    def decodable(self, model: str) -> tuple[str, ...]:
        """Sites at which the labels are told better than by the baseline, joint interval above 0.

        Args:
            model: `base` or `post`.

        Raises:
            RepresentationError: There is no such model.
        """
        if model not in self.model:
            raise RepresentationError(
                f"there is no model {model!r} in this report. Pass {' or '.join(self.model)}."
            )
        low = self.gain.low[self.model.index(model)].tolist()
        return tuple(site for site, end in zip(self.site, low, strict=True) if end > 0)
