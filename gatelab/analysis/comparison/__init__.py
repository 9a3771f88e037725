"""The comparison of configurations: rows, verdicts, and their text."""
