"""Result of probing both models."""

from dataclasses import dataclass
from typing import Annotated

from jaxtyping import Float
from torch import Tensor

from elicit.representations.errors import RepresentationError
from elicit.results import Estimate, Result


@dataclass(frozen=True, eq=False, kw_only=True)
class ProbeReport(Result):
    """Held-out accuracy of linear probes of each layer in both models, with controls."""

    kind: str
    """`logistic` or `ridge`."""
    model: tuple[str, ...]
    """`base` and `post`, each with its own probes."""
    site: tuple[str, ...]
    """Site of each probe."""
    label: tuple[str, ...]
    """Labels told apart."""
    accuracy: Annotated[Estimate, "model site"]
    """Test accuracy."""
    auroc: Annotated[Estimate, "model site"]
    """Area under the ROC curve; with more than two labels the one-vs-rest mean."""
    control: Annotated[Estimate, "model site"]
    """Control: accuracy on labels drawn at random per type. NaN: only one type."""
    selectivity: Annotated[Estimate, "model site"]
    """Selectivity: accuracy minus that on the control task."""
    shuffled: Annotated[Estimate, "model site"]
    """Control: accuracy of a probe fitted and tested on permuted labels; chance."""
    surface: tuple[str, ...]
    """Baselines without a model: the most frequent label, or a probe of the token, of its
    position, or of both."""
    surface_accuracy: Annotated[Estimate, " surface"]
    """Test accuracy of each baseline."""
    baseline: str
    """Most accurate baseline."""
    gain: Annotated[Estimate, "model site"]
    """Accuracy minus that of the best baseline, on the same examples."""
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
    """Number of test problems, the unit of every interval."""
    n_types: int
    """Number of types in the control task."""
    level: float
    """Nominal coverage of the intervals."""

    def decodable(self, model: str) -> tuple[str, ...]:
        """Sites at which the probe beats the baseline: simultaneous interval of the gain above 0.

        Raises:
            RepresentationError: There is no such model.
        """
        if model not in self.model:
            raise RepresentationError(
                f"this report has no model {model!r}. Pass {' or '.join(self.model)}."
            )
        low = self.gain.low[self.model.index(model)].tolist()
        return tuple(site for site, end in zip(self.site, low, strict=True) if end > 0)
