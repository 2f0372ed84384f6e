"""Where state lives: objects in S3, dataset versions in DVC and git, the process groups that both run in."""
