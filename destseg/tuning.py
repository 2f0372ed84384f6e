"""How the process gets memory, waits for its threads and keeps compiled operations.

Programs that train or score call it first thing.
"""

import ctypes
import os

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
MIB = 2**20
PRIMITIVES = 8192  # a compiled convolution each; oneDNN's own 1024 are too few for two networks in two precisions
SPINS = 5000  # some 50 us: most gaps between two operations are shorter (docs/performance.md has the figures)


def tune_process() -> None:
    """Sets them before torch is imported, which reads them then."""
    tune_allocator()
    tune_threads()
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(PRIMITIVES))


def tune_threads() -> None:
    """Lets a thread that waits for the others sleep soon, where GNU's OpenMP would spin for milliseconds.

    Beside another busy process the threads of an operation would spin for one that does not run: a training took 30
    times as long, now its share of the cores. A user's own choice stands.
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = str(SPINS)


def tune_allocator() -> None:
    """Keeps freed blocks of up to 64 MiB for the next step, and asks for huge pages for larger ones.

    By itself glibc gives the maps of every layer back to the kernel, which has to clear their pages again for the next
    (docs/performance.md has the figures). Does nothing where the C library is another.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # read by torch at its first allocation
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt and not any(name.startswith("MALLOC_") for name in os.environ):  # a user's own choice
        mallopt(MMAP_THRESHOLD, 64 * MIB)
        mallopt(TRIM_THRESHOLD, 128 * MIB)
