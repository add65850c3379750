"""The command line's bodies, one module for each group of commands; `cli.py` there is the table of them.

It owns words, tables and exit codes. It owns no decision: commands on the running dialer go through its API,
the others through the same functions that the processes use.
"""
