# SPDX-License-Identifier: Apache-2.0
"""The messages of the contract, written by scripts/generate_python.

They are never edited, and never part of a public signature.
"""
