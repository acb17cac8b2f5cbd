// SPDX-License-Identifier: Apache-2.0

package differential

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"net/url"
	"os/exec"
	"reflect"
	"strings"
	"testing"

	"github.com/spanwire/spanwire/api/querystring"
)

// queryParts are what random queries are made of.
var queryParts = []string{
	"a", "b", "token", "=", "=", "&", "&", ";", "+", "%", "%", "%2", "%25", "%zz", "%26", "%3D", "%00", "%E2", "%82", "%AC", "%F0%9F%98%80",
	"%ED%A0%80", "%C0%80", "%FF", "%F4%90", "?", "[", "]", "%u0041", "__proto__",
}

// Node reads random queries as the broker and the Go SDK do.
func TestQueries(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same queries each time
	queries := make([]string, *rounds)
	var in bytes.Buffer
	for i := range queries {
		for range random.IntN(12) {
			queries[i] += queryParts[random.IntN(len(queryParts))]
		}
		line, err := json.Marshal(queries[i])
		if err != nil {
			t.Fatal(err)
		}
		in.Write(append(line, '\n'))
	}
	node := exec.CommandContext(t.Context(), "node", "queries.js")
	node.Stdin = &in
	out, err := node.Output()
	if err != nil {
		t.Fatal(err)
	}
	answers := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(answers) != len(queries) {
		t.Fatalf("%d answers to %d queries", len(answers), len(queries))
	}
	for i, query := range queries {
		want := url.Values{}
		if err := json.Unmarshal([]byte(answers[i]), &want); err != nil {
			t.Fatal(err)
		}
		if got := querystring.Parse(query); !reflect.DeepEqual(got, want) {
			t.Errorf("%q is %q, and %q for Node", query, got, want)
		}
	}
}
