"""Memory is taken again without the kernel clearing it, threads do not spin for long; a user's own choice stands."""

import os
import platform
import subprocess
import sys

import pytest

from destseg.tuning import PRIMITIVES, SPINS

PROGRAM = """
import resource, sys
from destseg.tuning import tune_process
if sys.argv[1] == "tuned":
    tune_process()
import torch
torch.set_num_threads(1)

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

for _ in range(3):
    torch.ones(12, 2**20), torch.ones(2**20)  # 48 MB and 4 MB, freed at once
before = faults()
for _ in range(5):
    torch.ones(12, 2**20), torch.ones(2**20)
print(faults() - before)
"""


def page_faults(choice: str, **variables: str) -> int:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "THP_"))} | variables
    command = [sys.executable, "-c", PROGRAM, choice]
    return int(subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's; elsewhere nothing is tuned")
def test_freed_memory_is_taken_again() -> None:
    plain = page_faults("plain", THP_MEM_ALLOC_ENABLE="0")
    assert page_faults("tuned") < plain / 2
    own_choice = page_faults("tuned", THP_MEM_ALLOC_ENABLE="0", MALLOC_ARENA_MAX="1")
    assert own_choice > plain / 2


OTHERS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "ONEDNN_PRIMITIVE_CACHE_CAPACITY")


def tuned(name: str, **variables: str) -> str:
    program = f"import os, destseg.tuning as t; t.tune_process(); print(os.environ.get('{name}'))"
    env = {name: value for name, value in os.environ.items() if name not in OTHERS}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, env=env | variables, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def test_threads_sleep_soon_unless_the_user_says_otherwise() -> None:
    assert tuned("GOMP_SPINCOUNT") == str(SPINS)
    assert tuned("GOMP_SPINCOUNT", OMP_WAIT_POLICY="ACTIVE") == "None"
    assert tuned("GOMP_SPINCOUNT", GOMP_SPINCOUNT="7") == "7"


def test_more_compiled_operations_are_kept_unless_the_user_says_otherwise() -> None:
    name = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
    assert tuned(name) == str(PRIMITIVES)
    assert tuned(name, ONEDNN_PRIMITIVE_CACHE_CAPACITY="7") == "7"
