"""What can go wrong, as values: every failure has one name and one public status.

An error carries the cause for the log. What a shopper is told comes from its status and kind,
never from the text of an exception.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Literal


class WaitroomError(Exception):
    """The base of all of ours."""


class StoreUnavailable(WaitroomError):
    """Redis is away, hangs, or answers with an error. The text is for the log."""


class EmbeddedUnavailable(WaitroomError):
    """There is no Redis to start, or it would not start."""


class DataFolderBusy(WaitroomError):
    """Another gateway is using the data folder."""


class ConfigError(WaitroomError):
    """The settings are wrong: one sentence a fault, all of them at once."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


OriginFault = Literal["refused", "connect_timeout", "reset", "timeout", "garbage", "busy", "loop", "upload", "coding"]

# What failed between us and the shop → the status the client sees (RFC 9110 §15.5, §15.6).
ORIGIN_STATUS: Final[Mapping[OriginFault, int]] = {
    "refused": 502,  # no connection: refused, unreachable, unknown name, TLS not verified
    "connect_timeout": 504,  # no connection in time
    "reset": 502,  # the connection broke before the answer was whole
    "timeout": 504,  # no byte of an answer, or of the rest of its head, in time
    "garbage": 502,  # what came back is not an answer that can be passed on
    "busy": 503,  # all connections to the shop are taken, and none came free in time
    "loop": 508,  # the request has been through this gateway before
    "upload": 408,  # the client stopped sending its request body
    "coding": 501,  # a transfer coding of the request other than chunked
}


class OriginFailure(WaitroomError):
    """The shop gave no answer that could be passed on, and nothing was sent to the client yet.

    `sent` is False only if certainly not one byte of the request was sent to the shop.
    """

    def __init__(self, kind: OriginFault, detail: str = "", *, sent: bool = False) -> None:
        super().__init__(f"{kind}: {detail}" if detail else kind)
        self.kind: OriginFault = kind
        self.detail = detail
        self.sent = sent

    @property
    def status(self) -> int:
        return ORIGIN_STATUS[self.kind]
