"""The page about weights."""
