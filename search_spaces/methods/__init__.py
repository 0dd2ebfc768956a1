"""What each method lets an attacker choose, and what its authors chose: one file a method."""
