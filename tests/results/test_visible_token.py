"""White space in tokens."""

import pytest

from elicit.results.drawing import visible_token


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        ("\n", "⏎"),
        ("\n\n", "⏎⏎"),
        (".\n", ".⏎"),
        (" ", "␣"),
        ("   ", "␣␣␣"),
        ("\t", "⇥"),
        (" \n", " ⏎"),
        ("\r", "\\r"),
        (" Paris", " Paris"),
        ("\u200f", "\\u200f"),
        ("", ""),
    ],
)
def test_white_space_in_a_token_shows(token, shown):
    assert visible_token(token) == shown
