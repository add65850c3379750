"""Who is dialed next: campaigns and their states, the hopper, recycling, and the files that leads come from."""
