"""Shared state: everything that knows Redis. Nothing here knows HTTP.

| what it does                         | modules                                                                    |
| ------------------------------------ | -------------------------------------------------------------------------- |
| speaks to a Redis                    | client scripts keys replies reasons circuit                                |
| one room: a script for each verb     | room; invites moves                                                        |
| a worker's line, and its sync loop   | line; invited_line holder outbox memory held ended notices environment     |
| whoever waits for an answer of Redis | asking: batch door                                                         |
| a sale, its draw                     | sale drawing                                                               |
| orders                               | orders attempts                                                            |
| what operators see and do            | overview watch probe operating                                             |
| a Redis of our own                   | embedded: server_program data_folder lifeline                              |
"""
