"""From a command to many runs: jobs from overrides, searches, launchers, and Hydra's plugins."""
