"""The page about steering."""
