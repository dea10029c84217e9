"""Everything at once against one broker, and a checker that says precisely what is wrong.

history.py   what clients have sent, committed, deleted, and what they were told of it
checks.py    what a partition holds, held against that: findings
audit.py     reads a broker's partitions for the checks
actors.py    the clients
members.py   those of a group, which join and leave
small_disk.py  a disk that can be filled, for a log directory
broker.py    `barnabas serve` with file faults, or with a planted bug
run.py       the load, kills, restarts and audits, from a seed
"""
