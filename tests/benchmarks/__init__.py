"""The comparison of Catena with its nearest peer, beside the limit that grpc.aio sets to both.

And with itself: what bound context variables cost a call, and their operations beside the stdlib's.

`run.py` is the way in. The runner needs the standard library only: it builds an environment of
its own (`environment.py`), starts one client process per measured block (`clients.py`,
`systems/`), or several that take turns (`turns.py`, `conversation.py`), and writes what they told
(`report.py`).
"""
