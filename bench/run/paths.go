// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// The paths that an event can take, one event at a time and at saturation, beside the server that
// has its handlers inside. All are ratios to the first: what a lone event costs on the way from a
// replica to a handler that is attached to it.
var paths = []struct{ title, scenario, target string }{
	{"direct, one event at a time", "echo-1x1", "go"},
	{"direct, at saturation", "echo-1000x4", "go"},
	{"over the backplane, one event at a time", "echo-1x1", "backplane"},
	{"over the backplane, at saturation", "echo-1000x4", "backplane"},
	{"Node, one event at a time", "echo-1x1", "node"},
	{"Node, at saturation", "echo-1000x4", "node"},
}

const pathsCommand = "go run ./bench/run -only echo-1x1,echo-1000x4 -targets go,backplane,node"

// path is one row: processor time of an event in microseconds, and as a multiple of the first
// row's.
type path struct {
	title                       string
	near, far, handler, all     float64
	ofBrokers, ofHandler, ofAll float64
}

// pathRows gives the rows that were measured; none without the one that the others are compared
// with.
func (r *results) pathRows() (rows []path) {
	get := func(i int, figure string) float64 {
		v, _ := r.median(paths[i].scenario, paths[i].target, figure)
		return v
	}
	base := [...]float64{get(0, cpuBroker), get(0, cpuHandler), get(0, cpuPerEvent)}
	if base[2] == 0 {
		return nil
	}
	of := func(v, base float64) float64 {
		if base == 0 {
			return 0
		}
		return v / base
	}
	for i, p := range paths {
		all := get(i, cpuPerEvent)
		if all == 0 {
			continue
		}
		near, brokers, handler := get(i, cpuNear), get(i, cpuBroker), get(i, cpuHandler)
		if handler == 0 { // the handler is inside, so there is no replica to compare
			rows = append(rows, path{title: p.title, all: all, ofAll: of(all, base[2])})
			continue
		}
		rows = append(rows, path{p.title, near, max(brokers-near, 0), handler, all, of(brokers, base[0]), of(handler, base[1]), of(all, base[2])})
	}
	return rows
}

// cells are the row's figures, those that are nothing left out.
func (p *path) cells() []string {
	cells := []string{p.title}
	for _, v := range []float64{p.near, p.far, p.handler, p.all, p.ofBrokers, p.ofHandler, p.ofAll} {
		cell := fmt.Sprintf("%.2f", v)
		if v == 0 {
			cell = ""
		}
		cells = append(cells, cell)
	}
	return cells
}

var pathColumns = []string{"path", "us replica", "us far replica", "us handler", "us all", "x replicas", "x handler", "x all"}

func (r *results) paths(w io.Writer) {
	rows := r.pathRows()
	if len(rows) < 2 {
		return
	}
	fmt.Fprintf(w, "paths: processor time of an event, and as a multiple of a lone one's on the direct path\n")
	t := tabwriter.NewWriter(w, 4, 0, 2, ' ', 0)
	fmt.Fprintln(t, strings.Join(pathColumns, "\t"))
	for _, p := range rows {
		fmt.Fprintln(t, strings.Join(p.cells(), "\t"))
	}
	_ = t.Flush()
	fmt.Fprintf(w, "again: %s\n\n", pathsCommand)
}

// markdown writes the rows of docs/benchmarks.md.
func (r *results) markdown(w io.Writer, chosen []scenario) {
	row := func(cells ...string) { fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | ")) }
	head := func(columns ...string) {
		fmt.Fprintln(w)
		row(columns...)
		fmt.Fprintln(w, strings.Repeat("|---", len(columns))+"|")
	}
	head("scenario", "target", "events/s", "us CPU per event", "of it broker + handler", "p50 ms", "p99 ms")
	for _, sc := range chosen {
		name := sc.name
		for _, target := range sc.targets {
			get := func(figure string) float64 { v, _ := r.median(sc.name, target, figure); return v }
			if sc.load == nil || get(rate) == 0 {
				continue
			}
			split := ""
			if get(cpuHandler) > 0 {
				split = fmt.Sprintf("%.1f + %.1f", get(cpuBroker), get(cpuHandler))
			}
			row(name, target, fmt.Sprintf("%.0f", get(rate)), fmt.Sprintf("%.1f", get(cpuPerEvent)), split,
				fmt.Sprintf("%.2f", get(median)), fmt.Sprintf("%.2f", get("p99 ms")))
			name = ""
		}
	}
	if rows := r.pathRows(); len(rows) > 1 {
		head(pathColumns...)
		for _, p := range rows {
			row(p.cells()...)
		}
	}
}
