"""The comparison of variants: rows, conclusions, and their text."""
