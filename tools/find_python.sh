#!/bin/sh
# Prints the path of a Python 3.12 or 3.11 that can make a virtual environment; says what to install where there is none.
# An argument names the Python to use. Every candidate is started, because a name on the PATH may be a shim of nothing.
set -u

lacks_venv=
for name in "${@:-}" python3.12 python3.11 python3 /usr/bin/python3.12 /usr/bin/python3.11 /usr/bin/python3; do
    [ -n "$name" ] || continue
    found=$("$name" -c '
import sys
if (3, 11) <= sys.version_info[:2] < (3, 13):
    try:
        import ensurepip, venv
        print("usable", sys.executable)
    except ImportError:
        print("python%d.%d-venv" % sys.version_info[:2])
' 2>/dev/null) || found=
    case $found in
        "usable "*)
            echo "${found#usable }"
            exit 0
            ;;
        python*) lacks_venv=${lacks_venv:-$found} ;;
    esac
    if [ "$name" = "${1:-}" ]; then
        echo "make install: PYTHON=$name is no Python 3.11 or 3.12 that can make a virtual environment." >&2
        exit 1
    fi
done

if [ -n "$lacks_venv" ]; then
    echo "make install: Python is here but cannot make a virtual environment. Run: sudo apt-get install $lacks_venv" >&2
else
    echo "make install: no Python 3.11 or 3.12 found. Run: sudo apt-get install python3 python3-venv, or name one: make install PYTHON=/path/to/python3.12" >&2
fi
exit 1
