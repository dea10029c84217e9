"""Everything at once against one broker, and a checker that says precisely what is wrong.

history.py   what clients have sent, committed, deleted, and what they were told of it
checks.py    what a partition holds, held against that: findings
audit.py     reads a broker's partitions for the checks
actors.py    the clients
readers.py   those that read committed records meanwhile
members.py   those of a group, which join and leave
mover.py     one that moves partitions between log directories
small_disk.py  a disk that can be filled, for a log directory
indexes.py   whether indexes lead to what they should
broker.py    `barnabas serve` with file faults and its own clock, or with a planted bug
served.py    its program
run.py       the load, kills, restarts and audits, from a seed
"""
