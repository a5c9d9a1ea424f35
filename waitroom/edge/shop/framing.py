"""What ends an answer of the shop, and whom an exchange waits for."""

from enum import Enum, auto
from typing import Protocol


class ClientSide(Protocol):
    """What we need of the client's end of an exchange."""

    target: bytes

    @property
    def peer_lost(self) -> bool: ...
    def abort(self) -> None: ...


class Framing(Enum):
    """What ends the answer's body."""

    UNKNOWN = auto()  # the head is not here yet
    NONE = auto()
    LENGTH = auto()
    CHUNKED = auto()
    CLOSE = auto()
    UPGRADED = auto()  # 101: what follows is another protocol


class Phase(Enum):
    """Whom the exchange waits for; each has its limit."""

    UPLOAD = auto()  # the client, for more of the request's body
    HEAD = auto()  # the shop, for the answer's head
    BODY = auto()  # the shop, for more of the answer
    CLIENT = auto()  # the client, to take what there is


CLIENT = Phase.CLIENT  # a name of the module is looked up faster than an Enum's member
CLIENTS_TURN = (Phase.CLIENT, Phase.UPLOAD)
