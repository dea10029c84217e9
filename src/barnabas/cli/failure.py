"""CommandError: what a command tells the user when it cannot do what was asked."""

from typing import Final

EXIT_FAILURE: Final = 1
EXIT_USAGE: Final = 2  # as argparse
EXIT_INTERRUPTED: Final = 130  # 128 + SIGINT, as shells report it


class CommandError(Exception):
    """One clear line for stderr, and the exit code."""

    def __init__(self, message: str, exit_code: int = EXIT_FAILURE) -> None:
        super().__init__(message)
        self.exit_code = exit_code
