"""The door through which every question and instrument runs: one known state, one user at a time.

What a notebook or a trainer left switched on (autocast, training mode, another default dtype, ...)
is switched off for the call and on again after it, and a result's provenance names it. What cannot
be switched off without guessing what was meant (hooks, compiled modules, parametrizations) is
refused. While a call or a block of edits or grafts has a model, other threads wait for it.
"""

from elicit.surroundings._door import guard_room, guarded
from elicit.surroundings._locks import hold, hold_parameters
from elicit.surroundings._models import foreign_hook, make_guest
from elicit.surroundings._state import SurroundingsError, forget_casts

__all__ = [
    "SurroundingsError",
    "foreign_hook",
    "forget_casts",
    "guard_room",
    "guarded",
    "hold",
    "hold_parameters",
    "make_guest",
]
