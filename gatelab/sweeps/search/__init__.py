"""Searches over options: random draws and Optuna's studies."""
