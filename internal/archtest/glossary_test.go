// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"slices"
	"strings"
	"testing"

	"github.com/spanwire/spanwire/internal/metrics"
)

// term is one row of the glossary.
type term struct {
	word, meaning, code string
	avoid               []string
}

type terms []term

// glossary reads docs/reference/glossary.md.
func glossary(t *testing.T) (all terms) {
	t.Helper()
	for line := range strings.Lines(read(t, "docs/reference/glossary.md")) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != 6 || strings.Contains(line, "|---|") || strings.TrimSpace(cells[1]) == "word" {
			continue
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		x := term{word: strings.ReplaceAll(cells[1], " ", "_"), meaning: cells[2], code: cells[3]}
		for word := range strings.SplitSeq(cells[4], ",") {
			if word = strings.TrimSpace(word); word != "" {
				x.avoid = append(x.avoid, word)
			}
		}
		all = append(all, x)
	}
	return all
}

// with lists the words whose third column says so.
func (all terms) with(code string) (words []string) {
	for _, x := range all {
		if strings.Contains(x.code, code) {
			words = append(words, x.word)
		}
	}
	return words
}

// The glossary has each word once, none of them is one to avoid, and each label of a metric is in
// it.
func TestGlossary(t *testing.T) {
	all := glossary(t)
	seen := map[string]bool{}
	for _, x := range all {
		if seen[x.word] || x.meaning == "" || x.code == "" {
			t.Errorf("%s is there twice, or without its meaning or its place in the code", x.word)
		}
		seen[x.word] = true
	}
	for _, x := range all {
		for _, word := range x.avoid {
			if seen[word] {
				t.Errorf("%s is a word of the glossary, and not to be said for %s", word, x.word)
			}
		}
	}
	labels := metrics.Labels()
	for _, l := range labels {
		if !slices.Contains(all.with("metric label"), l) {
			t.Errorf("docs/reference/glossary.md has no row for the label %s", l)
		}
	}
	for _, l := range all.with("metric label") {
		if !slices.Contains(labels, l) {
			t.Errorf("docs/reference/glossary.md has a row for the label %s, which no metric has", l)
		}
	}
}

// No name of a metric, no label and no value is a word to avoid.
func TestGlossary_Metrics(t *testing.T) {
	avoid := map[string]string{}
	for _, x := range glossary(t) {
		for _, word := range x.avoid {
			avoid[word] = x.word
		}
	}
	for name, labels := range record(read(t, metricsPage)) {
		words := strings.Split(name, "_")
		for _, l := range labels {
			words = append(words, strings.Split(l, "=")...)
		}
		for _, word := range words {
			if say := avoid[word]; say != "" {
				t.Errorf("%s says %s; say %s", name, word, say)
			}
		}
	}
}
