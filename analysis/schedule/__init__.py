"""What the stages of schedules did, layer by layer: tables, figure and sentences of `analysis.stages`."""
