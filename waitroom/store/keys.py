"""The names of a room's keys: the one place that builds them.

All share the hash tag of the room, so that they live on one node of a cluster. `…` is `waitroom:{<room>}`, and of the
line of the invited `waitroom:{<room>}:invited`.

key                              type     what
…:state                          hash     the room: generation, counters, meter, limits, phase; never expires
…:beat:<gen>:<space>:<epoch>:<chunk>
                                 string   presence bits of one epoch (15 s) of 65,536 places (space p), or numbers of a
                                          lobby before its draw (space n); away_after + 2 epochs
…:claims:<gen>:<chunk>           hash     place → admit_at µs, visitor, granted ms, repeats; 7 days, and once the
                                          last turn in it has lapsed turn_held + claim_repeat
…:claimed:<gen>:<chunk>          string   a bit for each place claimed; lives with …:claims, but 7 days after a reset
…:active                         zset     <gen>:<place> → end (ms) of the latest pass signed; 7 days after the last one
…:ghosts                         hash     seats of people whom a lost Redis forgot, and until when
                                          they count; session_idle
…:ended                          zset     <gen>:<place> → when its pass was ended early (ms); the longest life of a pass
…:door:<gen>                     zset     place → place: who stands at the door, in order; 60 s
…:asked:<gen>                    zset     place → last asked (ms); 60 s
…:table:<gen>                    string   what the holder of the lease publishes; 1 h after the last round
…:lease                          string   who may move the front; 2 s
…:init                           string   when a worker first found no room; 5 s
…:reply:<gen>:<call id>          string   the answer of a call, for its retries; 20 s
…:minute:<t>                     hash     counters of one minute; 2 h
…:moved:<link>                   string   the browser that took a place by a link to another device; 10 minutes
…:moves:<gen>:<number>           string   how often a place was taken to another device; the life of a ticket
…:workers                        zset     worker → last sync (ms); 60 s
…:scratch:<worker>               string   bits on their way into a beat; gone within the script
…:findings                       hash     what operators should know of → how often; 24 h after the last one
…:shadow                         hash     who would have waited: kind, client, path → how often; 24 h after the last one
…:orders:<owner>                 hash     of one visitor: attempt → record; =<digest> → the last attempt at that order;
                                          !<attempt> → until when it may be sent again (ms); `order_keep` after the last
…:outcome:<outcome>              zset     attempts with that outcome; `order_keep` after the last one
…:invite:<batch>-<serial>        hash     visitor → generation and number that the invite gave; until it expires
…:batch:<batch>                  hash     what `waitroom invite` made: count, uses, expires, who; `revoked`,
                                          `revoked:<serial>`; a day longer than its invites
…:log                            stream   what operators did, and recoveries (at most about 1,000); never expires
"""

INVITED = "invited"
"""The line of people with an invite, as `Keys` names it."""


class Keys:
    """Key names of one line of a room, the first one, or `invited` for those with an invite. Those that depend on a
    generation take it as an argument. What is the room's, and not one line's, has the same name in both: seats, passes
    ended, orders, invites, the log. `beside` is the state of the line of the invited.
    """

    __slots__ = (
        "active",
        "beside",
        "ended",
        "findings",
        "ghosts",
        "init",
        "lease",
        "log",
        "of_room",
        "prefix",
        "shadow",
        "state",
        "workers",
    )

    def __init__(self, room: str, line: str = "") -> None:
        self.of_room = of_room = f"waitroom:{{{room}}}:"
        self.prefix = prefix = f"{of_room}{line}:" if line else of_room
        self.beside = f"{of_room}{INVITED}:state"
        self.active = of_room + "active"
        self.ended = of_room + "ended"
        self.ghosts = of_room + "ghosts"
        self.findings = of_room + "findings"
        self.shadow = of_room + "shadow"
        self.log = of_room + "log"
        self.state = prefix + "state"
        self.lease = prefix + "lease"
        self.init = prefix + "init"
        self.workers = prefix + "workers"

    def beat(self, generation: str, space: str, epoch: int, chunk: int) -> str:
        return f"{self.prefix}beat:{generation}:{space}:{epoch}:{chunk}"

    def claims(self, generation: str, chunk: int) -> tuple[str, str]:
        """The hash and the bitmap of one chunk's claims."""
        return f"{self.prefix}claims:{generation}:{chunk}", f"{self.prefix}claimed:{generation}:{chunk}"

    def door(self, generation: str) -> tuple[str, str]:
        return f"{self.prefix}door:{generation}", f"{self.prefix}asked:{generation}"

    def table(self, generation: str) -> str:
        return f"{self.prefix}table:{generation}"

    def reply(self, generation: str, call_id: str) -> str:
        """Of one generation: what was given in one that was reset meanwhile is nothing in the next."""
        return f"{self.prefix}reply:{generation}:{call_id}"

    def minute(self, now_ms: float) -> str:
        return f"{self.prefix}minute:{int(now_ms // 60_000)}"

    def moved(self, link: str) -> str:
        return f"{self.prefix}moved:{link}"

    def moves(self, generation: str, number: int) -> str:
        return f"{self.prefix}moves:{generation}:{number}"

    def scratch(self, worker: str) -> str:
        return f"{self.prefix}scratch:{worker}"

    def orders(self, owner: str) -> str:
        return f"{self.of_room}orders:{owner}"

    def outcome(self, outcome: str) -> str:
        return f"{self.of_room}outcome:{outcome}"

    def invite(self, id_: str) -> str:
        return f"{self.of_room}invite:{id_}"

    def batch(self, batch: str) -> str:
        return f"{self.of_room}batch:{batch}"
