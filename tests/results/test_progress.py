"""Progress is a protocol that anything with its three methods fulfils."""

from elicit.runs import NoProgress, Progress


def test_progress_that_nobody_watches_is_progress():
    quiet = NoProgress()
    quiet.start(3, "cells")
    quiet.advance()
    quiet.advance(2, "more cells")
    quiet.stop()
    assert isinstance(quiet, Progress)
    assert not isinstance(object(), Progress)
