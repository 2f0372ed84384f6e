"""`python -m destseg` and the `destseg` command: a user's mistake is one sentence on stderr and exit code 2."""

import gc
import sys

from destseg import Error
from destseg.tuning import tune_process


def main() -> None:
    """Runs the command line."""
    tune_process()
    gc.set_threshold(10_000)  # not 700: what importing torch, MLflow or GX makes stays, and is looked at for 0.3 s
    from destseg.cli import app

    try:
        app(prog_name="destseg")
    except Error as error:
        print(f"destseg: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("destseg: interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output, such as `head`, has left
        sys.stderr.close()
        sys.exit(141)


if __name__ == "__main__":
    main()
