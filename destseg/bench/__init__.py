"""What this machine does a second: training, inference, metrics, and its own matrix products as the yardstick."""
