"""The error tree: what can go wrong, said in one sentence a person can act on.

    StudioError
    ├── BadInput             what was typed or sent cannot be used       HTTP 422   exit 2
    │   ├── BadBrief         a field of the form                         HTTP 422   exit 2
    │   └── UnknownPreset    a preset name that is not on the list       HTTP 422   exit 2
    ├── Unauthenticated      nobody is signed in, or not any more        HTTP 401   exit 77
    ├── Forbidden            the person lacks the role                   HTTP 403   exit 77
    ├── NotFound             no such job, picture, or not yours          HTTP 404   exit 2
    ├── Conflict             the job is in a state that forbids this     HTTP 409   exit 2
    ├── Unavailable          try again later                             HTTP 503   exit 75
    │   ├── QueueFull        too many jobs wait                          HTTP 503   exit 75
    │   ├── NotReady         the model is still warming, or failed       HTTP 503   exit 75
    │   ├── LimitReached     as often, or as much, as one person may     HTTP 429   exit 75
    │   └── NotScreened      nothing could judge the picture             HTTP 503   exit 75
    ├── StorageFull          the disk has no room                        HTTP 507   exit 74
    ├── SetupError           the studio cannot start as configured       HTTP 500   exit 78
    │   ├── BadConfig        a setting that cannot be used
    │   ├── BadDataFolder    the data folder is missing, locked, read-only
    │   ├── BadModel         the model folder is missing, broken, unsafe
    │   └── PortInUse        somebody else listens there
    └── GenerationFailed     the engine could not draw this picture      HTTP 500   exit 70

Errors are raised where they are known and translated once at each face: HTTP status, `gr.Error`,
exit code (the numbers follow sysexits.h). This file knows no face; the faces read `http_status`
and `exit_code`. Every message says what is wrong and, where a person can mend it, how.
"""

from __future__ import annotations

from typing import ClassVar


class StudioError(Exception):
    """Base of everything the studio raises on purpose; `str(error)` is fit to show to a person."""

    http_status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 70


class BadInput(StudioError):
    """What was typed or sent cannot be used as it is."""

    http_status = 422
    exit_code = 2


class BadBrief(BadInput):
    """A field of the brief cannot be used; `field` is its name in `Brief`."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class UnknownPreset(BadInput):
    """A preset name that is not on the list."""


class Unauthenticated(StudioError):
    """Nobody is signed in, or the session or key is no longer good."""

    http_status = 401
    exit_code = 77


class Forbidden(StudioError):
    """The person is known and lacks the role, or the right, for this."""

    http_status = 403
    exit_code = 77


class NotFound(StudioError):
    """No such job or picture, or it belongs to somebody else: the two are not told apart."""

    http_status = 404
    exit_code = 2


class Conflict(StudioError):
    """The object is in a state that forbids what was asked."""

    http_status = 409
    exit_code = 2


class Unavailable(StudioError):
    """Cannot be done now; the same call may succeed in `retry_after_seconds`."""

    http_status = 503
    exit_code = 75

    def __init__(self, message: str, *, retry_after_seconds: float = 5.0) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class QueueFull(Unavailable):
    """As many jobs wait as the studio accepts."""


class NotReady(Unavailable):
    """The model is still warming, or could not be loaded."""


class LimitReached(Unavailable):
    """As often, or as much, as one person or one address may for now."""

    http_status = 429


class NotScreened(Unavailable):
    """Nothing could judge a picture; without weights for the classifier `is_installed` is false."""

    def __init__(self, message: str, *, is_installed: bool = True) -> None:
        super().__init__(message)
        self.is_installed = is_installed


class StorageFull(StudioError):
    """The disk that holds the data folder has no room."""

    http_status = 507
    exit_code = 74


class SetupError(StudioError):
    """The studio cannot start as it is configured."""

    exit_code = 78


class BadConfig(SetupError):
    """A setting that cannot be used."""


class BadDataFolder(SetupError):
    """The data folder cannot be created, written, or is held by another studio."""


class BadModel(SetupError):
    """The model folder is missing, broken, or holds files the studio will not load."""


class PortInUse(SetupError):
    """Another program listens on the address."""


class GenerationFailed(StudioError):
    """The engine could not draw a picture; the message says why, `cause` in one word.

    Causes are few and fixed, since they are counted: "model", "not_a_number", "no_memory",
    "engine", "storage", "studio".
    """

    def __init__(self, message: str, *, cause: str = "model") -> None:
        super().__init__(message)
        self.cause = cause
