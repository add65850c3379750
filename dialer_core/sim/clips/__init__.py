"""The packaged voices and the script that makes them again; `SOURCES.md` says where each comes from."""
