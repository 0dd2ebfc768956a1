"""What the attack is: tensors in, tensors out."""
