"""Network and schedule under one name: which presets there are, writing one into params.yaml, how long each trains."""
