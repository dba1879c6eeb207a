"""The job behind `elicit steer`."""
