"""HTTP. Here is the gate: who asks, what the rules decide, how people get in, and the routes of the line.

| folder | what it owns                                                           |
| ------ | ---------------------------------------------------------------------- |
| wire   | the client's side: bytes, heads, connections; knows nothing of a line  |
| shop   | the shop's side: connections, one request and its answer, fields       |
| pages  | what people read, in their language                                    |
| orders | requests that place an order: sent once, and what became of them       |
| admin  | what operators see and do, on an address of its own                    |

| here, for one line of a worker | modules                                                                        |
| ------------------------------ | ------------------------------------------------------------------------------ |
| the gate, and before it        | gate; rooms forward_auth invited                                               |
| who asks                       | request clients; visitor: cookies                                              |
| how people get in              | entrance: flood shadow emergency; bypass                                       |
| to the shop                    | passage: commands                                                              |
| what they are told             | status: shared stages facts cloudflare; answers refusals                       |
| own routes                     | routes: cors; own health draw transfer                                         |
"""
