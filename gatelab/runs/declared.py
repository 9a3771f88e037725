"""What a task declares of its score and `compare` needs to know: words in the summary of a run."""

from typing import Literal

# On which scale scores are averaged and compared.
Scale = Literal["linear", "log", "logit"]
# How scores of runs that differ in their seed alone scatter: around one value, or in any way.
Shape = Literal["any", "single"]
