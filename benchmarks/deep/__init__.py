"""Deep unlearning compared: methods x data x kinds of forgetting x seeds, every number beside a retrained control."""
