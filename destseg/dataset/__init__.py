"""MVTec-format datasets: where files lie, how an image becomes a tensor, which image serves which purpose."""
