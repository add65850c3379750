"""Training and evaluation of the detector, on simulated calls made from parts.

Owns everything that reads sound files, runs synthesisers, knows the truth of a call, fits and measures. The detector that listens
imports nothing of it.
"""
