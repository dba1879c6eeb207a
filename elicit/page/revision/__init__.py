"""The page about when predictions settle."""
