"""What a study means: Parquet in, figures out, and beside each figure the CSV of the numbers drawn."""
