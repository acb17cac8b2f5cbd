// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Status is what the page shows of the replica.
type Status struct {
	Replica string `json:"replica"`
	Cluster string `json:"cluster"`
	Version string `json:"version"`
	// Ready is empty, or says why the replica is not ready.
	Ready    string        `json:"not_ready,omitempty"`
	Uptime   time.Duration `json:"-"`
	Replicas []string      `json:"replicas"`
	Services []Service     `json:"services"`
}

// Service is one line of the status: a service and its instances on this replica.
type Service struct {
	Name      string   `json:"name"`
	Instances []string `json:"instances"`
	// Elsewhere counts the instances that are attached to other replicas only.
	Elsewhere int `json:"instances_elsewhere"`
	// Absent says that no instance takes sockets anywhere in the cluster, AbsentSince since when.
	Absent      bool       `json:"absent"`
	AbsentSince *time.Time `json:"absent_since,omitempty"`
	// Held counts the connects of this replica that wait meanwhile.
	Held int `json:"held_connects"`
	// Queued counts the dispatches of this replica's sockets that wait for the service, Unread the
	// sockets that are not read, since too much of them waits.
	Queued int `json:"waiting_events"`
	Unread int `json:"unread_sockets"`
}

// count is one gauge, the sum over its labels.
type count struct {
	Name, Help string
	Value      float64
}

// counts reads the gauges that are the replica's own.
func counts(g prometheus.Gatherer) (all []count) {
	families, err := g.Gather()
	if err != nil {
		return nil // /metrics says what is wrong
	}
	for _, f := range families {
		name, own := strings.CutPrefix(f.GetName(), "spanwire_")
		if !own || f.GetType() != dto.MetricType_GAUGE || strings.HasSuffix(name, "_info") {
			continue
		}
		c := count{Name: strings.ReplaceAll(name, "_", " "), Help: f.GetHelp()}
		for _, m := range f.GetMetric() {
			c.Value += m.GetGauge().GetValue()
		}
		all = append(all, c)
	}
	return all
}

// style is the page's style sheet, which alone the policy allows.
const style = `
body{font:16px/1.5 system-ui;margin:3rem auto;max-width:48rem;padding:0 1rem}
td,th{text-align:left;vertical-align:top;padding:.2rem 1rem .2rem 0;font-weight:normal}
th{white-space:nowrap}td.n{text-align:right;font-variant-numeric:tabular-nums}
`

var policy = func() string {
	digest := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(digest[:]) + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}()

var page = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="5"><title>Spanwire {{.Replica}}</title>
<style>` + style + `</style>
<h1>Spanwire</h1>
<p>{{if .Ready}}<strong>not ready: {{.Ready}}</strong>{{else}}ready{{end}} · <a href="/metrics">metrics</a> · <a href="/healthz">health</a> ·
<a href="/readyz">readiness</a> · <a href="/status">status</a>{{if .Profiling}} · <a href="/debug/pprof/">profiles</a>{{end}}</p>
<table>
<tr><th>replica<td>{{.Replica}}, up {{.Uptime}}
<tr><th>cluster<td>{{.Cluster}}{{range .Replicas}} · {{.}}{{else}}, no other replica{{end}}
<tr><th>version<td>{{.Version}}
{{range .Services}}<tr><th>service<td>{{.Name}}: {{range $i, $x := .Instances}}{{if $i}}, {{end}}{{$x}}{{end}}{{if .Absent}}{{if .Instances}}; {{end -}}
<strong>absent, holds {{.Held}} connects</strong> since {{.AbsentSince.UTC.Format "2006-01-02 15:04:05"}} UTC; start it again, or
<code>broker services retire {{.Name}}</code>{{else if not .Instances}}no instance here, {{.Elsewhere}} on other replicas{{end}}{{if .Queued}}; {{.Queued}} events wait{{end}}{{if .Unread}};
<strong>{{.Unread}} sockets are not read</strong>, since too many of their events wait{{end}}
{{else}}<tr><th>services<td>none is known
{{end}}</table>
<h2>Now</h2>
<table>{{range .Counts}}
<tr><th>{{.Name}}<td class="n">{{.Value}}<td>{{.Help}}{{end}}
</table>
</html>
`))

func (d *handler) page(w http.ResponseWriter, _ *http.Request) {
	s := d.Status()
	s.Uptime = s.Uptime.Round(time.Second)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_ = page.Execute(w, struct { // an error means that the operator went away
		Status
		Profiling bool
		Counts    []count
	}{s, d.Profiling, counts(d.Gatherer)})
}
