"""The job behind `elicit audit`."""
