"""Everything about W&B: account, mirror of a run's metrics, media, saved workspaces and reports."""
