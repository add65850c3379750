"""The tree of errors that the dialer raises. It owns no behaviour.

    DialerError                     anything a user or a caller may be told in one line
    ├── ConfigError                 a setting is missing, unknown or of the wrong type (names file, key, allowed values)
    ├── ImportFileError             a file to import cannot be read as a whole (single bad rows are rejects, not errors)
    ├── SoundFileError              a file holds no sound that can be used (says which and why)
    ├── StoreError                  the database cannot be opened, migrated or written
    ├── NotRunningError             the command needs a running engine and there is none
    ├── CommandRefusedError         the engine or the API understood a command and refuses it (says why)
    ├── ProtocolError               a peer process sent something that is not in the message set
    └── StartError                  a process cannot start: port in use, socket in use, pjsua2 missing

A call that fails is not an error here: it is an `Outcome` (`vocabulary/`). Kernels (`amd`, `pacing`) raise `ValueError`
subclasses of their own and know nothing of this tree.
"""


class DialerError(Exception):
    """Something that can be told in one line: what is wrong, where, and what would be right."""


class ConfigError(DialerError):
    """A setting is missing, unknown or malformed; the message names file, key and allowed values."""


class ImportFileError(DialerError):
    """A file to import cannot be used at all; the message names the file and the reason."""


class SoundFileError(DialerError):
    """A file holds no sound that can be used; the message says which file, why, and what would be right."""


class StoreError(DialerError):
    """The database cannot be opened, migrated or written."""


class NotRunningError(DialerError):
    """No engine answers on the configured address."""


class CommandRefusedError(DialerError):
    """A command was not carried out; the message says why, and `kind` in one word.

    `refused` (understood, not now), `unknown` (no such thing), `invalid` (bad arguments) or `internal`
    (a fault of ours): the kinds of `ipc.messages.HostReply`.
    """

    def __init__(self, message: str, kind: str = "refused") -> None:
        super().__init__(message)
        self.kind = kind


class ProtocolError(DialerError):
    """A peer process sent bytes that are not a message of the set."""


class StartError(DialerError):
    """A process cannot start, for a reason outside its code."""
