# SPDX-License-Identifier: Apache-2.0
"""The version of this package, from its metadata. The broker logs it."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("spanwire")
except PackageNotFoundError:  # run from the sources without being installed
    __version__ = "devel"
