"""Super-resolution methods, one file each. A network maps LR (b, 3, h, w) to HR (b, 3, s·h, s·w) and has `.scale`."""
