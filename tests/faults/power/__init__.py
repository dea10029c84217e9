"""Power cuts of a whole broker's data directory: what a real process asked of its disk is recorded,
and broken disks are made of that.

    trace      what `barnabas serve` asked of its data directory, as strace saw it
    disk       what the disk may hold after a cut, drawn at random
    journal    what clients asked and when they were answered; what must and what may be there
    workload   the clients
    audit      opens what a disk holds and compares it with the journal
    life       one broker's life under strace, and the check of disks that are made of it
"""
