"""The version that is installed."""

import importlib.metadata


def version() -> str:
    """The version in the metadata, or that there are none."""
    try:
        return importlib.metadata.version("tfgumbel")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"
