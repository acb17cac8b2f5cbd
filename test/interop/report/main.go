// SPDX-License-Identifier: Apache-2.0

// Command report turns the results of scripts/interop into the tables of docs/compatibility.md:
// which published client can do what, on which transport, with handlers in Go and in Python.
//
//	go run ./test/interop/report -results FOLDER -write     writes the tables
//	go run ./test/interop/report -results FOLDER            fails when a feature failed, or the
//	                                                        tables do not tell what the results
//	                                                        tell
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("report: ")
	results := flag.String("results", "", "folder that scripts/interop wrote")
	page := flag.String("page", "docs/compatibility.md", "page with the tables between two marks")
	list := flag.String("matrix", "test/interop/matrix.json", "list of clients and features")
	write := flag.Bool("write", false, "write the tables rather than compare them")
	flag.Parse()
	if err := run(*results, *page, *list, *write); err != nil {
		log.Fatal(err)
	}
}

// matrix is what is to be run.
type matrix struct {
	Features map[string]string `json:"features"` // what stands in the tables, by name
	Tables   []table           `json:"tables"`
}

type table struct {
	Title    string   `json:"title"`
	Features []string `json:"features"`
	Clients  []client `json:"clients"`
}

type client struct {
	ID      string            `json:"id"`
	Title   string            `json:"title"`
	Without map[string]string `json:"without"` // features that it does not offer, with the reason
}

// row is one feature of one run.
type row struct {
	Client, Version, Transport, Handler, Feature, Outcome, Why string
}

var (
	transports = []string{"polling", "websocket", "upgrade"}
	handlers   = []string{"go", "python"}
)

// run compares, or writes.
func run(results, page, list string, write bool) error {
	var m matrix
	data, err := os.ReadFile(list)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return fmt.Errorf("%s: %w", list, err)
	}
	rows, err := read(results)
	if err != nil {
		return err
	}
	text, faults := m.report(rows)
	old, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	updated, err := put(string(old), text)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", page, err)
	case write:
		faults = append(faults, os.WriteFile(page, []byte(updated), 0o644))
	case updated != string(old):
		faults = append(faults, fmt.Errorf("%s does not tell what the clients can do: update it with make compatibility", page))
	}
	return errors.Join(faults...)
}

// read reads the rows of all runs.
func read(folder string) (rows []row, err error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var some []row
		if err := json.Unmarshal(data, &some); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		rows = append(rows, some...)
	}
	return rows, nil
}

// The marks between which the tables stand.
const (
	begin = "<!-- made by make compatibility: begin -->\n"
	end   = "<!-- made by make compatibility: end -->\n"
)

// put puts the tables into the page.
func put(page, text string) (string, error) {
	before, rest, ok := strings.Cut(page, begin)
	_, after, found := strings.Cut(rest, end)
	if !ok || !found {
		return "", fmt.Errorf("the marks %q and %q are not there", begin, end)
	}
	return before + begin + text + end + after, nil
}

// report writes the tables, and tells what failed or was not run.
func (m *matrix) report(rows []row) (text string, faults []error) {
	known := make(map[row]row, len(rows))
	versions := map[string]string{}
	for _, r := range rows {
		known[row{Client: r.Client, Transport: r.Transport, Handler: r.Handler, Feature: r.Feature}] = r
		versions[r.Client] = r.Version
	}
	var b strings.Builder
	for _, t := range m.Tables {
		fmt.Fprintf(&b, "\n### %s\n\n|", t.Title)
		for _, c := range t.Clients {
			fmt.Fprintf(&b, " | %s %s", c.Title, versions[c.ID])
		}
		b.WriteString(" |\n|---" + strings.Repeat("|---", len(t.Clients)) + "|\n")
		for _, feature := range t.Features {
			fmt.Fprintf(&b, "| %s", m.Features[feature])
			for _, c := range t.Clients {
				cell, errs := c.cell(feature, known)
				faults = append(faults, errs...)
				b.WriteString(" | " + cell)
			}
			b.WriteString(" |\n")
		}
		b.WriteString(t.notes())
	}
	b.WriteByte('\n')
	return b.String(), faults
}

// cell tells how a feature went on all transports, with all handlers.
func (c *client) cell(feature string, known map[row]row) (text string, faults []error) {
	if _, without := c.Without[feature]; without {
		return "–", nil
	}
	var failed []string
	for _, transport := range transports {
		for _, handler := range handlers {
			r, run := known[row{Client: c.ID, Transport: transport, Handler: handler, Feature: feature}]
			if run && r.Outcome == "ok" {
				continue
			}
			if !run {
				r.Why = "it was not run"
			}
			if strings.Contains(r.Why, "does not connect") {
				r.Why = "" // the first feature tells
			}
			faults = append(faults, fmt.Errorf("%s, %s, handlers in %s: %s: %s", c.ID, transport, handler, feature, r.Why))
			if !slices.Contains(failed, transport) {
				failed = append(failed, transport)
			}
		}
	}
	switch len(failed) {
	case 0:
		return "yes", nil
	case len(transports):
		return "**no**", faults
	}
	return "**not by " + strings.Join(failed, ", ") + "**", faults
}

// notes says why clients do not offer something.
func (t *table) notes() string {
	var b strings.Builder
	for _, c := range t.Clients {
		for _, feature := range t.Features {
			if why, ok := c.Without[feature]; ok {
				fmt.Fprintf(&b, "\n%s without %s: %s.\n", c.Title, feature, why)
			}
		}
	}
	return b.String()
}
