"""What MLX multiplies with: the forms of a matrix, and the choice among them."""
