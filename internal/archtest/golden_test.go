// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"maps"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// metricsPage is the golden record of the names of metrics, of their labels and of the values.
const metricsPage = "docs/reference/metrics.md"

// A metric, a label or a label value that was in the reference before is still there, or
// CHANGELOG.md has a line that names it in code quotes.
func TestGolden_Metrics(t *testing.T) {
	base, old := goldenBase(t)
	if gone := missing(record(old), record(read(t, metricsPage)), read(t, "CHANGELOG.md")); len(gone) > 0 {
		t.Errorf("%s has lost what it had at %s, and CHANGELOG.md does not say so:\n%s", metricsPage, base, strings.Join(gone, "\n"))
	}
}

// The comparison finds a metric, a label and a value that are gone, and lets the changelog excuse
// each.
func TestGolden_Missing(t *testing.T) {
	row := func(name, labels string) map[string][]string {
		return record("| metric | kind | labels | meaning |\n| `" + name + "` | counter | " + labels + " | Things. |\n")
	}
	before := row("spanwire_a_total", "`reason`: `x`, `y`; `service`: names")
	for name, c := range map[string]struct {
		now       map[string][]string
		changelog string
		want      string
	}{
		"same":            {before, "", ""},
		"metric":          {row("spanwire_b_total", "`reason`: `x`, `y`"), "", "spanwire_a_total"},
		"label":           {row("spanwire_a_total", "`reason`: `x`, `y`"), "", "spanwire_a_total service"},
		"value":           {row("spanwire_a_total", "`reason`: `x`; `service`: names"), "", "spanwire_a_total reason=y"},
		"part of a name":  {row("spanwire_b_total", ""), "`spanwire_a_total_too`", "spanwire_a_total"},
		"metric, excused": {row("spanwire_b_total", ""), "- `spanwire_a_total` is `spanwire_b_total`", ""},
		"value, excused":  {row("spanwire_a_total", "`reason`: `x`; `service`: names"), "- `y` is gone", ""},
	} {
		if got := strings.Join(missing(before, c.now, c.changelog), ", "); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	if _, old := record("| `spanwire_c_total` | counter | transport, reason | Old form. |")["spanwire_c_total"]; !old {
		t.Error("a page without values is not read")
	}
}

var (
	metricRow   = regexp.MustCompile("(?m)^\\| `(spanwire_[a-z0-9_]+)` \\| [a-z]+ \\| (.*?) \\| ")
	quotedValue = regexp.MustCompile("`([a-z0-9_]+)`")
)

// record reads a reference: for each metric its labels, and for each label its values as
// label=value.
func record(page string) map[string][]string {
	all := make(map[string][]string)
	for _, row := range metricRow.FindAllStringSubmatch(page, -1) {
		labels := []string{}
		for text := range strings.SplitSeq(row[2], "; ") {
			name, values, declared := strings.Cut(text, ": ")
			if !declared { // the form before values were listed
				labels = append(labels, strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })...)
				continue
			}
			label := strings.Trim(name, "`")
			labels = append(labels, label)
			for _, v := range quotedValue.FindAllStringSubmatch(values, -1) {
				labels = append(labels, label+"="+v[1])
			}
		}
		all[row[1]] = labels
	}
	return all
}

func missing(before, now map[string][]string, changelog string) (gone []string) {
	excused := func(word string) bool { return strings.Contains(changelog, "`"+word+"`") }
	for _, metric := range slices.Sorted(maps.Keys(before)) {
		labels, ok := now[metric]
		if !ok && !excused(metric) {
			gone = append(gone, metric)
		}
		for _, l := range before[metric] {
			name, value, _ := strings.Cut(l, "=")
			if ok && !slices.Contains(labels, l) && !excused(name) && !excused(value) {
				gone = append(gone, metric+" "+l)
			}
		}
	}
	return gone
}

// goldenBase is the reference as users have it: that of the last tag. Before the first tag, and in
// a shallow clone without tags, it is that of the main branch where this branch left it, and on
// the main branch that of the commit that changed it last.
func goldenBase(t *testing.T) (base, page string) {
	t.Helper()
	head, err := git("rev-parse", "HEAD")
	if err != nil {
		t.Fatal(err)
	}
	candidates := [][]string{
		{"describe", "--tags", "--abbrev=0"},
		{"merge-base", "HEAD", "origin/main"},
		{"merge-base", "HEAD", "main"},
		{"log", "--format=%H", "--skip=1", "--max-count=1", "--", metricsPage},
	}
	for _, c := range candidates {
		if base, err = git(c...); err != nil || base == "" || base == head {
			continue
		}
		if page, err = git("show", base+":"+metricsPage); err == nil {
			return base, page
		}
	}
	if page, err = git("show", "HEAD:"+metricsPage); err != nil {
		t.Fatal(err)
	}
	return "HEAD", page
}

func git(args ...string) (string, error) {
	cmd := exec.Command("git", args...)
	cmd.Dir = root
	out, err := cmd.Output()
	return strings.TrimSpace(string(out)), err
}
