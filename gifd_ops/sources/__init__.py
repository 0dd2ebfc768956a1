"""Private images from folders, by layout. Nothing here imports torch but `torchvision_sets.py`."""
