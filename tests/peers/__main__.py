"""`python -m peers`: fetches and builds what tests would otherwise wait for."""

from concurrent.futures import ThreadPoolExecutor

from peers.franz import franz_program
from peers.java import fetch_all

with ThreadPoolExecutor() as pool:
    program = pool.submit(franz_program)
    fetch_all()
    program.result()
