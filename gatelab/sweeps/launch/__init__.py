"""Launchers: how the jobs of a sweep are trained, on this machine or on a cluster."""
