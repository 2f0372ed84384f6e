"""Everything on one machine: `demo`, the main job on servers of its own, and `up`, which keeps them running."""
