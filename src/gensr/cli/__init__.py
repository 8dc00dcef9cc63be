"""The command line: `gensr upscale | compare | evaluate | data | weights | doctor`."""

from gensr.cli.app import main

__all__ = ["main"]
