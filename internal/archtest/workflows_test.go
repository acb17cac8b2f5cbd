// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	called = regexp.MustCompile(`(?:^|[ "&])make ([a-z][a-z0-9-]*)`)
	used   = regexp.MustCompile(`(?m)^\s*(?:- )?uses: (\S+)(.*)$`)
	pinned = regexp.MustCompile(`^[a-z-]+/[a-z-]+@[0-9a-f]{40}$`)
	steps  = regexp.MustCompile(`(?m)^STEPS\s*:= (.+)$`)
)

// automation lists the files that run make for people: workflows, hooks of git and the script of
// CI.
func automation(t *testing.T) []string {
	t.Helper()
	names := slices.DeleteFunc(files(t, ".yml", ".yaml", ".ci/run"), func(name string) bool {
		return !strings.HasPrefix(name, ".github/workflows/") && name != ".pre-commit-config.yaml" && name != ".ci/run"
	})
	if len(names) < 4 {
		t.Fatalf("found only %v", names)
	}
	return names
}

// Every make target that a workflow or a hook calls exists.
func TestWorkflows_Targets(t *testing.T) {
	makefile := read(t, "Makefile")
	for _, name := range automation(t) {
		for _, m := range called.FindAllStringSubmatch(read(t, name), -1) {
			if !strings.Contains(makefile, "\n"+m[1]+":") {
				t.Errorf("%s calls make %s, which is not a target", name, m[1])
			}
		}
	}
}

// Workflows use actions by the hash of a commit, with the version beside it: a tag can be moved.
func TestWorkflows_Pinned(t *testing.T) {
	for _, name := range automation(t) {
		for _, m := range used.FindAllStringSubmatch(read(t, name), -1) {
			if !pinned.MatchString(m[1]) || !strings.HasPrefix(strings.TrimSpace(m[2]), "# v") {
				t.Errorf("%s uses %s, not by a commit's hash with its version as a comment", name, m[1])
			}
		}
	}
}

// The workflow of every change runs each step of make test.
func TestWorkflows_Steps(t *testing.T) {
	found := steps.FindStringSubmatch(read(t, "Makefile"))
	if found == nil {
		t.Fatal("the Makefile names no steps")
	}
	workflow := read(t, ".github/workflows/ci.yml")
	for step := range strings.FieldsSeq(found[1]) {
		if !regexp.MustCompile(`make ` + step + `\n`).MatchString(workflow) {
			t.Errorf("ci.yml does not run make %s", step)
		}
	}
}
