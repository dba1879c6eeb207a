"""The page about existence."""
