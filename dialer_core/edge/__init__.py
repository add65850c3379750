"""The edge: Kamailio in front of the line workers. What is written for it, and what it is asked."""
