// SPDX-License-Identifier: Apache-2.0

package main

import (
	"regexp"
	"slices"
	"strings"
	"sync"
)

const (
	// maxKept bounds the output of the command that is kept, to be repeated when it fails.
	maxKept = 4 << 20
	// maxShown bounds the lines that are shown of one failed test, and maxStory those of a whole
	// story.
	maxShown, maxStory = 16, 100
	// maxEnd is how much is shown of the end of an output that no rule below knows.
	maxEnd = 30
)

// kept is the end of what a command prints. It is written to by two streams.
type kept struct {
	mu   sync.Mutex // guards all below
	data []byte
}

// Write implements io.Writer.
func (k *kept) Write(p []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.data = append(k.data, p...)
	if len(k.data) > 2*maxKept {
		k.data = append([]byte(nil), k.data[len(k.data)-maxKept:]...)
	}
	return len(p), nil
}

func (k *kept) lines() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return strings.Split(strings.TrimSpace(string(k.data)), "\n")
}

// story picks from the output of a command that failed what says which tests failed, and why.
func story(lines []string) []string {
	var shown []string
	for _, rule := range []func([]string) []string{nodeStory, pytestStory, goStory} {
		if shown = rule(lines); len(shown) > 0 {
			break
		}
	}
	if len(shown) == 0 {
		return lines[max(0, len(lines)-maxEnd):]
	}
	return shown[max(0, len(shown)-maxStory):]
}

// nodeStory: the reporter of Node.js ends with all failed tests, each with its error and a long
// stack.
func nodeStory(lines []string) (shown []string) {
	start := -1
	for i, line := range lines {
		if strings.Contains(line, "✖ failing tests:") {
			start = i + 1
		}
	}
	if start < 0 {
		return nil
	}
	said := 0
	for _, line := range lines[start:] {
		inner := strings.TrimSpace(line)
		if strings.HasPrefix(line, "test at ") {
			said = 0
		}
		// Of the stack only the places in files of this repository help.
		if inner == "" || strings.HasPrefix(inner, "at ") && (!strings.Contains(inner, "file://") || strings.Contains(inner, "node_modules")) {
			continue
		}
		if said++; said <= maxShown {
			shown = append(shown, line)
		}
	}
	return shown
}

// pytestStory: the failed tests' names, the lines that pytest marks in them, and its summary.
func pytestStory(lines []string) (shown []string) {
	start := -1
	for i, line := range lines {
		if rule(line, '=') && (strings.Contains(line, " FAILURES ") || strings.Contains(line, " ERRORS ")) {
			start = i
			break
		}
	}
	if start < 0 {
		return nil
	}
	said, summary := 0, false
	for _, line := range lines[start+1:] {
		summary = summary || rule(line, '=')
		if rule(line, '_') {
			said = 0
		}
		if summary || rule(line, '_') || strings.HasPrefix(line, "E  ") {
			if said++; summary || said <= maxShown {
				shown = append(shown, line)
			}
		}
	}
	return shown
}

func rule(line string, of byte) bool { return strings.HasPrefix(line, strings.Repeat(string(of), 4)) }

var (
	// goPassed are the lines that `go test` prints of packages that did not fail.
	goPassed = regexp.MustCompile(`^(ok  |\?   |\t\S+\t+coverage:)`)
	// goFailed are the lines that name what failed.
	goFailed = regexp.MustCompile(`^(\s*--- FAIL: |FAIL\t|panic: |WARNING: DATA RACE)`)
)

// goStory: all that is not of packages that passed, and then only the names, since between them may
// stand all goroutines.
func goStory(lines []string) []string {
	names := slices.DeleteFunc(slices.Clone(lines), func(line string) bool { return !goFailed.MatchString(line) })
	if !slices.ContainsFunc(names, func(line string) bool { return strings.HasPrefix(line, "FAIL\t") }) {
		return nil
	}
	return append(slices.DeleteFunc(slices.Clone(lines), goPassed.MatchString), names...)
}
