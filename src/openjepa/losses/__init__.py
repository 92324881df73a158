"""Functions of tensors that objectives add up; none of them has parameters."""
