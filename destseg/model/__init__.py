"""The DeSTSeg network: a frozen teacher, a denoising student, a segmentation net, and how they are stored."""
