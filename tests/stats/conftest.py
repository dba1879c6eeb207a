"""How many data sets the simulations draw: all of them once, and fewer until something changes.

`simulated.sha256` says what was last simulated in full. With other code, other tests or `--full`
all data sets are drawn. After they passed, `python tests/stats/conftest.py` writes it anew.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent
STAMP = HERE / "simulated.sha256"
SHARE = 5
"""One data set in so many is drawn while nothing has changed."""


@dataclass(frozen=True)
class Simulation:
    """Number of data sets, and the bounds on a rate that is found over them."""

    whole: int
    n: int

    def off_by(self, rate: float, nominal: float, granted: float) -> bool:
        """Whether a rate differs by more than is granted with all data sets.

        With fewer, as many standard errors are granted.
        """
        return bool(abs(rate - nominal) > granted * np.sqrt(self.whole / self.n))


def digest() -> str:
    """Of what is simulated and of the simulations."""
    code = HERE.parents[1] / "elicit" / "stats"
    files = [*sorted(code.rglob("*.py")), *sorted(HERE.glob("*.py"))]
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()


@pytest.fixture(scope="session")
def simulation(request):
    """`simulation(1000)`: all thousand data sets, or a share of them."""
    known = STAMP.read_text().strip() if STAMP.exists() else ""
    whole = request.config.getoption("full") or known != digest()
    return lambda n: Simulation(whole=n, n=n if whole else n // SHARE)


if __name__ == "__main__":
    STAMP.write_text(digest() + "\n")
