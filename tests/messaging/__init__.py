"""Tests of messages over other channels."""
