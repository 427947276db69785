"""The version of this distribution."""

from importlib.metadata import PackageNotFoundError, version


def aden_version() -> str:
    """The installed version."""
    try:
        return version("aden-py")
    except PackageNotFoundError:  # run from a source tree
        return "0"
