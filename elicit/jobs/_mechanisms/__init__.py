"""The job behind `elicit mechanisms`."""
