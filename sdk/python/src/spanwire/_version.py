# SPDX-License-Identifier: Apache-2.0
"""The version of this package. The broker logs it."""

__version__ = "0.1.0"
