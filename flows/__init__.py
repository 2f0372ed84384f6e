"""Prefect flows: ingest (a batch becomes a dataset version) and retrain (a dataset version becomes a challenger).

A flow contains no machine learning: it runs git, dvc and destseg in a clone of its own and decides what happens next.
"""

import os

from destseg.storage.process import QUIET

# Before the first import of prefect, which reads them once. A flow that is run with no server at hand starts one for
# itself, which takes longer than Prefect's 20 s on a busy machine.
for _name, _value in {**QUIET, "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120"}.items():
    os.environ.setdefault(_name, _value)
