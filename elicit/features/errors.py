"""What `features` refuses."""

from elicit.results import ElicitError


class FeatureError(ElicitError):
    """An SAE, feature or set of tokens unfit for the question."""
