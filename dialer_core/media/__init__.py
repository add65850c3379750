"""The media plane: one process that owns every RTP socket of a node, what is sent from them, and what is heard on them.

It relays, plays, listens and reports; what a verdict or a digit leads to is the engine's business. It speaks no SIP.
"""
