"""Any learner in keyed shards and slices."""
