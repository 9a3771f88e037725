"""What run directories hold, grouped and checked."""
