"""How the benchmarks' programs begin and end."""

import signal
import sys

from kit.process import Failure

EXIT_FAILED = 1


def stop(number, _frame):
    """Ended from outside: directories are removed, programs that run are killed."""
    sys.exit(128 + number)


def run(main):
    """Calls main(arguments) and ends with what it returns; a Failure is one line."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, stop)
    try:
        sys.exit(main(sys.argv[1:]))
    except Failure as error:
        print(f"bench: {error}", file=sys.stderr)
        sys.exit(EXIT_FAILED)
