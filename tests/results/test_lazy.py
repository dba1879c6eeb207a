"""Names of a room load when they are first used."""

import subprocess
import sys

import pytest

import elicit
from elicit import jobs, organisms, page, results, runs, stats


@pytest.mark.parametrize("room", [jobs, organisms, page, results, runs, stats])
def test_every_name_of_a_lazy_room_is_there_and_no_other(room):
    assert [name for name in room.__all__ if not hasattr(room, name)] == []
    with pytest.raises(AttributeError, match="nothing_such"):
        _ = room.nothing_such


@pytest.mark.slow(checked=True)
def test_a_room_imports_what_it_hands_out_only_when_it_is_used():
    code = (
        "import sys, elicit.results as r\n"
        "before = 'elicit.results.store' in sys.modules\n"
        "r.canonical_json\n"
        "print(before, 'elicit.results.store' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["False", "True"]
    assert elicit.results is results
