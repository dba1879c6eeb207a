"""The suite checks shapes and types at each call, as `pyproject.toml` asks; see `conftest.py`."""

import jaxtyping
import pytest

from elicit.stats import bootstrap_mean


def test_a_wrong_type_is_caught_at_the_call():
    with pytest.raises(jaxtyping.TypeCheckError, match="seed"):
        bootstrap_mean([0.0, 1.0, 1.0], seed="zero")  # pyright: ignore[reportArgumentType]
