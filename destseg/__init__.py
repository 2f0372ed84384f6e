"""DeSTSeg defect detection, and the loop from new photographs to a promoted model. Imports nothing."""

__version__ = "0.1.0"


class Error(Exception):
    """What a user can put right: one sentence that names the thing, what was found, what was expected, what to do.

    The command line prints it and exits with 2; anything else is a defect of the program and keeps its traceback.
    """
