"""The job behind `elicit trace`."""
