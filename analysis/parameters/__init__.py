"""What single parameters do: their importance, effects and interactions, and how far each can be believed."""
