"""Measurements that anyone can run; their recorded results are in results/."""
