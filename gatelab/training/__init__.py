"""One run, from its configuration to its result, with Lightning; `fit.py` shows it from top to bottom."""
