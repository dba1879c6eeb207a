"""The page about SAE features."""
