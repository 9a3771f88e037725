"""This process and the machine it runs on: signals, identity, place in a team, memory, and what it prints."""
