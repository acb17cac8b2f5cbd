// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What is shown last are the names of failed tests and their errors, whichever reporter wrote them.
func TestStory(t *testing.T) {
	for name, c := range map[string]struct{ output, want string }{
		"node": {
			output: "✖ bad (1ms)\n  Error: early\n\n✖ failing tests:\n\ntest at a.test.js:5:3\n✖ bad (1ms)\n  Error: two is not one\n" +
				"      at TestContext.<anonymous> (file:///a.test.js:5:37)\n      at Test.run (node:internal/test:796:25)\n",
			want: "test at a.test.js:5:3\n✖ bad (1ms)\n  Error: two is not one\n      at TestContext.<anonymous> (file:///a.test.js:5:37)",
		},
		"pytest": {
			output: "F.\n===== FAILURES =====\n____ test_a ____\n\n>   assert 1 == 2\nE   assert 1 == 2\n\na.py:1: AssertionError\n" +
				"===== short test summary info =====\nFAILED a.py::test_a - assert 1 == 2\n1 failed",
			want: "____ test_a ____\nE   assert 1 == 2\n===== short test summary info =====\nFAILED a.py::test_a - assert 1 == 2\n1 failed",
		},
		"go": {
			output: "ok  \ta/b\t1s\n--- FAIL: TestX (0.1s)\n    x_test.go:3: no\nFAIL\nFAIL\ta/c\t1s\n?   \ta/d\t[no test files]\nok  \ta/e\t1s\nFAIL",
			want:   "--- FAIL: TestX (0.1s)\n    x_test.go:3: no\nFAIL\nFAIL\ta/c\t1s\nFAIL\n--- FAIL: TestX (0.1s)\nFAIL\ta/c\t1s",
		},
		"another": {output: "one\ntwo", want: "one\ntwo"},
	} {
		if got := strings.Join(story(strings.Split(c.output, "\n")), "\n"); got != c.want {
			t.Errorf("%s: the story is\n%s\nnot\n%s", name, got, c.want)
		}
	}
}

// Of a long output the end is shown, and of one failed test the beginning.
func TestStory_Long(t *testing.T) {
	long := slices.Repeat([]string{"line"}, 1000)
	if got := story(long); len(got) != maxEnd {
		t.Errorf("%d lines of an output without tests are shown", len(got))
	}
	if got := story(append([]string{"✖ failing tests:", "test at a"}, long...)); len(got) != maxShown || got[0] != "test at a" {
		t.Errorf("%d lines of one failed test are shown, the first is %q", len(got), got[0])
	}
	var k kept
	for range 3 * maxKept / 5 {
		_, _ = k.Write([]byte("word\n"))
	}
	if len(k.data) > 2*maxKept {
		t.Errorf("%d bytes are kept", len(k.data))
	}
}
