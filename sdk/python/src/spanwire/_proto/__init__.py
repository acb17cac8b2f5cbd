# SPDX-License-Identifier: Apache-2.0
"""The contract's messages, written by scripts/generate_python; never edited, never part of a public signature."""
