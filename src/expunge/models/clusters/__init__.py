"""k-means as a sequence of coarse decisions."""
