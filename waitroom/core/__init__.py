"""The rules of the line: no I/O, no clock, no randomness. Time is an argument.

| what is ruled              | modules                                                                     |
| -------------------------- | --------------------------------------------------------------------------- |
| what an operator may set   | settings: parse addresses redis_url links colour times; agreement           |
| live changes               | changes                                                                     |
| the room, as it is known   | model                                                                       |
| who comes in, and when     | meter release; watch: presence table survey probes; estimate proofs         |
| what a request is          | requests; targets: readings rooms; judge                                    |
| who sends it               | tokens invites                                                              |
| what shop and gateway say  | seal commands                                                               |
| what people read           | sentences paths                                                             |
| what is counted            | figures shadow                                                              |
| what can go wrong          | errors                                                                      |

A sale at a stated time is in `sale`, orders are in `orders`, all of it in virtual time in `simulation`.
"""
