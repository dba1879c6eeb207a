"""Which thread has a model: swapped weights and edits are there for everyone who runs it."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from weakref import WeakKeyDictionary

from torch import nn

from elicit.surroundings._state import SurroundingsError


class _Owners:
    """Threads and the models they have; a thread takes all it asks for at once, or waits."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._owner: WeakKeyDictionary[nn.Module, list[int]] = WeakKeyDictionary()
        """Model -> thread and how many times it took the model."""
        self._waiting: dict[int, list[nn.Module]] = {}

    @contextmanager
    def hold(self, models: list[nn.Module]) -> Iterator[None]:
        """Have models for one block."""
        me = threading.get_ident()
        with self._changed:
            while self._held_elsewhere(models, me):
                self._refuse_circle(models, me)
                self._waiting[me] = models
                try:
                    self._changed.wait()
                finally:
                    del self._waiting[me]
            for model in models:
                self._owner.setdefault(model, [me, 0])[0] = me
                self._owner[model][1] += 1
        try:
            yield
        finally:
            with self._changed:
                for model in models:
                    self._owner[model][1] -= 1
                self._changed.notify_all()

    def known(self) -> list[nn.Module]:
        """Models that were ever held."""
        with self._changed:
            return list(self._owner)

    def _held_elsewhere(self, models: list[nn.Module], me: int) -> list[int]:
        """Threads that have one of some models."""
        owners = [self._owner.get(model, [me, 0]) for model in models]
        return [thread for thread, depth in owners if depth and thread != me]

    def _refuse_circle(self, models: list[nn.Module], me: int) -> None:
        """Refuse to wait for a thread that waits, by however many others, for this one."""
        waiting, seen = self._held_elsewhere(models, me), set()
        while waiting:
            thread = waiting.pop()
            if thread == me:
                raise SurroundingsError(
                    "two threads each have a model that the other needs (one in a block of edits "
                    "or grafts, say), so both would wait for ever. Open the block and ask the "
                    "question on one thread at a time."
                )
            if thread not in seen:
                seen.add(thread)
                waiting += self._held_elsewhere(self._waiting.get(thread, []), thread)


_owners = _Owners()


def hold(*models: nn.Module) -> AbstractContextManager[None]:
    """Have models for one block; other threads that want one wait. The same thread may nest.

    Args:
        models: Bridges, or the Hugging Face models that they wrap.

    Raises:
        SurroundingsError: Waiting would never end, because of what this thread already has.
    """
    wrapped = {id(m): m for m in (getattr(each, "original_model", each) for each in models)}
    return _owners.hold(list(wrapped.values()))


@contextmanager
def hold_parameters(parameters: Iterable[nn.Parameter]) -> Iterator[None]:
    """Have every model of which one of some parameters is known to be part.

    Args:
        parameters: Whose values are swapped.
    """
    wanted = set(map(id, parameters))
    models = [m for m in _owners.known() if not wanted.isdisjoint(map(id, m.parameters()))]
    with _owners.hold(models):
        yield
