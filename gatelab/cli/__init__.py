"""The commands: each parses its arguments, calls the other rooms and prints."""
