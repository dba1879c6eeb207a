"""The job behind `elicit features`."""
