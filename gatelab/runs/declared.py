"""What a task declares about its score, for `compare`: words in the summary of a run."""

from typing import Literal

# On which scale scores are averaged and compared.
Scale = Literal["linear", "log", "logit"]
# How the scores of runs that differ only in their seed scatter: around one value, or in any way.
Shape = Literal["any", "single"]
