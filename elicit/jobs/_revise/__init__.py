"""The job behind `elicit revise`."""
