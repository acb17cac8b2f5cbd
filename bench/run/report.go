// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// String is the line that is printed when a measurement is done.
func (m *measurement) String() string {
	if m.traffic == nil {
		return fmt.Sprintf("%-16s round %d  %-7s %7.2f KiB per client", m.scenario, m.round+1, m.target, m.perClient)
	}
	return fmt.Sprintf("%-16s round %d  %-7s %9.0f events/s  %7.2f us CPU (%s), generator %5.2f us  p50 %s  p99 %s  others %.0f %%", m.scenario, m.round+1, m.target,
		m.traffic.PerSecond(), m.value(cpuPerEvent), m.split(), float64(m.generator.Nanoseconds())/1e3/float64(m.traffic.Events),
		m.traffic.Latency.Quantile(0.5).Round(time.Microsecond), m.traffic.Latency.Quantile(0.99).Round(time.Microsecond), 100*m.others)
}

// split is the processor time per event of each process.
func (m *measurement) split() string {
	parts := make([]string, len(m.cpu))
	for i, d := range m.cpu {
		parts[i] = fmt.Sprintf("%.2f", float64(d.Nanoseconds())/1e3/float64(m.traffic.Events))
	}
	return strings.Join(parts, " + ")
}

// The figures that are compared.
var figures = []string{rate, cpuPerEvent, cpuBroker, cpuHandler, "generator", median, "p90 ms", "p99 ms", "max ms", "sent late p50 ms", "others %", perClient}

func sum(list []time.Duration) (total time.Duration) {
	for _, d := range list {
		total += d
	}
	return total
}

// value gives a figure of the measurement, 0 when it has none.
func (m *measurement) value(figure string) float64 {
	if figure == perClient {
		return m.perClient
	}
	if m.traffic == nil {
		return 0
	}
	per := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 / float64(m.traffic.Events) }
	ms := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }
	switch figure {
	case rate:
		return m.traffic.PerSecond()
	case cpuPerEvent:
		return per(sum(m.cpu))
	case cpuBroker:
		return per(sum(m.cpu[:m.brokers]))
	case cpuNear:
		return per(m.cpu[0])
	case cpuHandler:
		return per(sum(m.cpu[m.brokers:]))
	case "generator":
		return per(m.generator)
	case median:
		return ms(m.traffic.Latency.Quantile(0.5))
	case "p90 ms":
		return ms(m.traffic.Latency.Quantile(0.9))
	case "p99 ms":
		return ms(m.traffic.Latency.Quantile(0.99))
	case "others %":
		return 100 * m.others
	case "sent late p50 ms":
		if m.traffic.Late != nil {
			return ms(m.traffic.Late.Quantile(0.5))
		}
	case "max ms":
		return ms(m.traffic.Latency.Max())
	}
	return 0
}

// results are the measurements by scenario and target.
type results struct {
	all map[[2]string][]*measurement
}

func newResults() *results { return &results{all: make(map[[2]string][]*measurement)} }

func (r *results) add(m *measurement) {
	key := [2]string{m.scenario, m.target}
	r.all[key] = append(r.all[key], m)
}

// median gives the median of a figure over the rounds.
func (r *results) median(scenario, target, figure string) (float64, bool) {
	list := r.all[[2]string{scenario, target}]
	if len(list) == 0 {
		return 0, false
	}
	values := make([]float64, len(list))
	for i, m := range list {
		values[i] = m.value(figure)
	}
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2, true
}

// print writes the tables and tells whether every budget that could be checked was kept.
func (r *results) print(w io.Writer, chosen []scenario, s *settings) bool {
	fmt.Fprintf(w, "\n%s, %d cores, %s; %s a measurement after %s, median of %d\n\n", cpuModel(), runtime.NumCPU(), runtime.Version(), s.length,
		s.warmUp, s.rounds)
	for _, sc := range chosen {
		r.table(w, &sc)
	}
	r.paths(w)
	fmt.Fprintln(w, "us CPU is of all processes of the target; others % is what unrelated programs took of the machine: above 10, measure again.")
	fmt.Fprintln(w)
	kept := r.verdicts(w, chosen)
	if s.markdown {
		r.markdown(w, chosen)
	}
	return kept
}

func (r *results) table(w io.Writer, sc *scenario) {
	fmt.Fprintf(w, "%s: %s\n", sc.name, sc.title)
	t := tabwriter.NewWriter(w, 4, 0, 2, ' ', tabwriter.AlignRight)
	columns := slices.DeleteFunc(slices.Clone(figures), func(f string) bool {
		return (f == perClient) != (sc.load == nil) || f == "sent late p50 ms" && sc.name != "latency" && sc.name != "stuck"
	})
	fmt.Fprintf(t, "\t%s\t\n", strings.Join(columns, "\t"))
	for _, name := range sc.targets {
		if _, ok := r.median(sc.name, name, columns[0]); !ok {
			continue
		}
		fmt.Fprintf(t, "%s\t", name)
		for _, f := range columns {
			value, _ := r.median(sc.name, name, f)
			if f == rate {
				fmt.Fprintf(t, "%.0f\t", value)
			} else {
				fmt.Fprintf(t, "%.2f\t", value)
			}
		}
		fmt.Fprintln(t)
	}
	_ = t.Flush()
	fmt.Fprintln(w)
}

func (r *results) verdicts(w io.Writer, chosen []scenario) bool {
	kept := true
	t := tabwriter.NewWriter(w, 4, 0, 2, ' ', 0)
	fmt.Fprintln(t, "scenario\tfigure\tmeasured\tbudget\t")
	for _, sc := range chosen {
		for _, b := range sc.budgets {
			value, ok := r.median(sc.name, b.target, b.figure)
			if !ok {
				continue
			}
			unit := b.target + " " + b.figure
			if b.of != "" {
				of, ok := r.median(sc.name, b.of, b.figure)
				if !ok || of == 0 {
					continue
				}
				value /= of
				unit = fmt.Sprintf("%s of %s, as a multiple of %s", b.figure, b.target, b.of)
			}
			sign, verdict := "<=", "kept"
			if b.atLeast {
				sign = ">="
			}
			if value > b.limit && !b.atLeast || value < b.limit && b.atLeast {
				kept, verdict = false, "MISSED"
			}
			fmt.Fprintf(t, "%s\t%s\t%.2f\t%s %.2f\t%s\n", sc.name, unit, value, sign, b.limit, verdict)
		}
	}
	_ = t.Flush()
	return kept
}

func cpuModel() string {
	data, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(data)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimSpace(strings.TrimLeft(name, "\t :"))
		}
	}
	return runtime.GOARCH
}
