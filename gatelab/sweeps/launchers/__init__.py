"""Where and how the runs of a sweep are trained: one launcher a file, found by its file stem: `hydra/launcher=<name>`."""
