"""Why a server is of no use, in words for people. What the log gets is the error itself."""

import socket
import ssl
from collections.abc import Iterator

from redis.exceptions import AuthenticationError

from waitroom.core.errors import StoreUnavailable


def connection_fault(error: BaseException) -> str | None:
    """For what the system says of a connection; None for anything else."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted: {error.verify_message}"
        case ssl.SSLError():
            return f"no TLS there: {error.reason or error}"
        case socket.gaierror():
            return "its name is not known"
        case FileNotFoundError():
            return "there is no such socket"
        case ConnectionRefusedError():
            return "nobody listens there"
        case TimeoutError():
            return "no answer in time"
        case _:
            return None


def redis_fault(error: BaseException) -> str:
    """For what redis-py raises, or a StoreUnavailable made of it. Nothing of a password is in it."""
    given = [each for each in chain(error) if not isinstance(each, StoreUnavailable)]
    if not given:
        return "it does not answer"
    if any(isinstance(each, AuthenticationError) for each in given):
        return "it wants a password, or another than that of its address"
    return next(filter(None, map(connection_fault, given)), str(given[0]).rstrip(".") or type(given[0]).__name__)


def chain(error: BaseException) -> Iterator[BaseException]:
    """The error, then what it was raised for, and so on."""
    here: BaseException | None = error
    while here is not None:
        yield here
        here = here.__cause__ or here.__context__
