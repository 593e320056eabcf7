"""From a folder of patients to batches: layouts, readers, store, splits, loader."""
