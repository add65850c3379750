"""Agents: their state machine, who is offered the next person, and their softphones' legs."""
