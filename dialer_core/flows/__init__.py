"""Flows: one language for voice menus, voice broadcast and message bots; read, checked, and interpreted without I/O."""
