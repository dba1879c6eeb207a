"""The job behind `elicit report`."""
