"""The job behind `elicit graft`."""
