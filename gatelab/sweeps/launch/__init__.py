"""How jobs are trained: what launchers share, the look ahead, the progress bar, and what single launchers need besides."""
