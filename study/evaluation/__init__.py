"""What is run after a search: finalists on images that did not steer it, controls, an ablation, other attacks."""
