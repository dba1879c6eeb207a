"""The job behind `elicit patch`."""
