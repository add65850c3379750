"""What the repository needs and a wheel does not: `make` runs it."""
