"""Models on integer Gram sums: ridge, discriminant, principal components."""
