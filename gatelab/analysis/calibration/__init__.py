"""What the statistics promise, simulated: coverage, false findings and power of all that is printed."""
