"""How our processes talk: the message set (`messages.py`) and its framing over named Unix sockets (`channel.py`)."""
