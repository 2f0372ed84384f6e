"""DeSTSeg's two training stages: synthetic defects, the losses, the loop, the student and the segmentation net."""
