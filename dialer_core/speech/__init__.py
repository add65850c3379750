"""Text to speech for calls: rendered ahead in the host by a plugin's voice, made equally loud, and kept for a while."""
