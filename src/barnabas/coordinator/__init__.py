"""The coordinators: drive state machines with the log, the clock and the broker loop.

    HandOver   what both append in a pass of the broker loop, to the core in one call
    GroupCoordinator ── CoordinatorPartitions ── a GroupPartition for each of __consumer_offsets
                          ├─ GroupShard   the state machine (barnabas.state.group)
                          ├─ AppendQueue  its records, batched, in order
                          └─ Timers       on the broker loop
    TransactionCoordinator ── CoordinatorPartitions ── a TransactionPartition for each of
                          │                            __transaction_state
                          ├─ TransactionShard   (barnabas.state.txn)
                          ├─ AppendQueue
                          └─ MarkerWriter       one for all partitions

May import `barnabas.state`, `barnabas.protocol`, `barnabas.metadata`, `barnabas.clock`,
`barnabas._core` and `barnabas._records`; everything runs on the broker loop's thread.
"""
