"""Many jobs from one file: here one after the other, on Ray, or as an array of a batch system."""

from typing import TYPE_CHECKING

from elicit.results import lazily

if TYPE_CHECKING:
    from elicit.sweep.comparison import Comparison, compare
    from elicit.sweep.errors import SweepError
    from elicit.sweep.run import Swept, sweep
    from elicit.sweep.slurm import array_script
    from elicit.sweep.study import Planned, Study, read_study

__all__ = [
    "Comparison",
    "Planned",
    "Study",
    "SweepError",
    "Swept",
    "array_script",
    "compare",
    "read_study",
    "sweep",
]

__getattr__ = lazily(__name__, __file__)
