"""The job behind `elicit exists`."""
