"""The tests mirror the tree; `conftest.py` says which kinds there are and what a skip must explain."""
