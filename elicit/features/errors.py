"""What `features` refuses."""

from elicit.results import ElicitError


class FeatureError(ElicitError):
    """An SAE, a feature or a set of tokens that cannot answer what was asked of it."""
