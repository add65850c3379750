"""The token file: made once, private, and told when it is not."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dialer_core.errors import NotRunningError, StartError
from dialer_core.http.tokens import ensure_token, read_token

pytestmark = pytest.mark.unit


def test_the_token_is_made_once_and_private(tmp_path: Path) -> None:
    """The first start makes a file that only its owner may read; later starts and clients read the same token."""
    file = tmp_path / "state" / "api.token"
    token = ensure_token(file)
    assert len(token) >= 40
    assert file.stat().st_mode & 0o777 == 0o600
    assert ensure_token(file) == token == read_token(file)
    assert [path.name for path in file.parent.iterdir()] == ["api.token"]


def test_two_starts_at_once_agree(tmp_path: Path) -> None:
    """Processes that start together end up with one token."""
    file = tmp_path / "api.token"
    with ThreadPoolExecutor(2) as pool:
        assert len(set(pool.map(lambda _: ensure_token(file), range(2)))) == 1


def test_a_file_that_others_read_is_refused(tmp_path: Path) -> None:
    """The start says which file and which command sets it right."""
    file = tmp_path / "api.token"
    ensure_token(file)
    file.chmod(0o644)
    with pytest.raises(StartError, match=r"api\.token can be read by others \(mode 0644\): run chmod 600"):
        ensure_token(file)


@pytest.mark.parametrize("content", ["", "short", "has spaces in it and is quite long indeed"])
def test_a_file_without_a_token_is_told(tmp_path: Path, content: str) -> None:
    """An empty or broken file is no token, and is not replaced behind the operator's back."""
    file = tmp_path / "api.token"
    file.write_text(content)
    file.chmod(0o600)
    with pytest.raises(StartError, match="delete it for a new one"):
        ensure_token(file)


def test_a_client_without_a_file_is_told_to_start(tmp_path: Path) -> None:
    """Before the first run there is no token: the dialer has not been started."""
    with pytest.raises(NotRunningError, match="dialer run"):
        read_token(tmp_path / "api.token")
