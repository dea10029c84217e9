"""Pure state machines: no IO, clock, socket or await; time, ids and randomness are passed in."""
