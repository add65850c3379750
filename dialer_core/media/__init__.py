"""The media plane: one process that owns every RTP socket of a node, what is sent from them, and what is heard on them.

It relays, plays, listens and reports; what a verdict or a digit leads to is the engine's business. It speaks no SIP.
"""

import os

# Before numpy is imported anywhere in this process: the detector's products are too small to share out, and the other threads' spinning
# took four times their work and the sound's own core (measured; `docs/adr/0003-media-plane.md`).
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
