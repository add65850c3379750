"""The desk's texts outside of its pages: what its rules say, in both languages.

It owns the one catalogue that the pages and the rules share.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from dialer_core.plugin_api import Texts

LANGUAGES: Final = ("es", "en")
WORDS: Final = Texts(Path(__file__).parent / "texts.toml")
