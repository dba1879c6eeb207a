"""How many files are tried: a few at each run of the tests, 2,000 of each kind with `--full`."""

import os

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Choose the profile before the tests of this folder are read."""
    try:
        from hypothesis import configuration, settings
    except ImportError:
        return  # the tests say that they are skipped
    configuration.set_hypothesis_home_dir(os.devnull)
    # Derandomised: the same files in every run, so that a failure is everyone's.
    common = {"derandomize": True, "database": None, "deadline": None}
    settings.register_profile("quick", max_examples=100, **common)
    settings.register_profile("full", max_examples=2000, **common)
    settings.load_profile("full" if config.getoption("full", False) else "quick")
