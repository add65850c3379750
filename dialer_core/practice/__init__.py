"""Practice: scripted people whom agents talk to on a real call, and a score of how it went. No account, no campaign and no store is touched."""
