"""Jobs: everything that a command of `elicit` does, from Python."""
