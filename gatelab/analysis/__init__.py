"""Reads run directories: statistics, table, plots, report. Never imports torch."""
