"""Which runs a command with -m makes: one sweeper a file, found by its file stem: `hydra/sweeper=<name>`."""
