// SPDX-License-Identifier: Apache-2.0

// Package docs follows the documentation as a reader does: it runs the commands and programs of
// each page in the order of the page, with the real broker and real handlers. It has tests only.
//
// Directives in HTML comments, which readers do not see, say what to do with the code block below:
//
//	<!-- run -->                              run the block with a shell; all must succeed
//	<!-- run: prints TEXT -->                 the same; the output must contain TEXT
//	<!-- run: in background until TEXT -->    start each line of the block, and wait for TEXT;
//	                                          TEXT|TEXT gives each line a text of its own
//	<!-- run: save as FILE -->                write the block to FILE
//	<!-- run: append to FILE -->              append the block to FILE
//	<!-- not run: REASON -->                  skip the block
//
// Three directives stand alone, and have no block:
//
//	<!-- check: COMMAND -->                   run a command that no reader needs
//	<!-- start: COMMAND until TEXT -->        the same in the background, until it prints TEXT
//	<!-- stop -->                             end what runs in the background
//
// A block without a directive fails the test, except a copy of an example (`<!-- from PATH -->`),
// which the tests of the example cover. Each page runs in a directory of its own with broker and
// python on PATH, and in a network namespace of its own, so that the ports on the page are free.
package docs
