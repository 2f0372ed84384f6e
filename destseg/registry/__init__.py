"""The model registry (MLflow): register a candidate, gate and promote it, its history, and models:/ addresses."""
