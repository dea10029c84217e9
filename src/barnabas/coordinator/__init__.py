"""The group coordinator: drives the state machine with the log, the clock and the broker loop.

    GroupCoordinator ── one Shard per partition of __consumer_offsets
                          ├─ GroupShard   the state machine (barnabas.state.group)
                          ├─ AppendQueue  its records, batched, in order
                          └─ Timers       on the broker loop

May import `barnabas.state`, `barnabas.protocol` and `barnabas._core`; everything runs on the broker
loop's thread.
"""
