"""What can be wrong with a patch before it runs."""

from elicit.results import ElicitError


class PatchError(ElicitError):
    """A contrast, a sweep or its values that cannot be patched or concluded from as they are."""
