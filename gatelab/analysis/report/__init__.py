"""The report as one HTML page, written to a file or served."""
