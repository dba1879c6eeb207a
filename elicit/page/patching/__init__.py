"""The page about activations."""
