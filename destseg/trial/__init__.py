"""`destseg try`: a first look at what the model makes of one's own photographs, without any of the pipeline."""
