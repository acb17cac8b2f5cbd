// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/spanwire/spanwire/"

// rule says what the packages at or under a path may import of this module, and of others.
type rule struct {
	path   string
	may    []string // paths of this module, each with what is under it
	others []string // other modules, besides the standard library
	why    string
}

// The tree has five floors, and no arrow leads up.
var rules = []rule{
	{"internal/sio", nil, nil, "the words know nothing but themselves"},
	{"internal/origin", nil, []string{"golang.org/x/net/idna"}, "the check of a setting and its use read origins and hosts in the same way"},
	{"internal/config", nil, []string{"go.yaml.in/yaml/v3"}, "packages declare their settings with it, so it must know none of them"},
	{"internal/metrics", nil, []string{"github.com/prometheus/"}, "rooms count with it, so it must know none of them"},
	{"internal/jsonscan", nil, nil, "both entry points check JSON with it"},
	{"internal/auth", []string{"internal/sio"}, []string{"go.yaml.in/yaml/v3"}, "every entry point may ask who calls"},
	{"internal/certs", nil, nil, "any listener may have a certificate"},
	{"internal/filewatch", []string{"internal/metrics"}, nil, "it knows files, and not what they are for"},
	{"internal/memory", nil, nil, "it knows the process and no room"},
	{"internal/hijack", nil, nil, "any listener may hand a connection to an upgrade with it"},
	{"internal/loglimit", nil, nil, "any room may keep its log readable with it"},
	{"api/gen", []string{"api/gen"}, []string{"google.golang.org/"}, "generated code stands alone"},
	{"api/probe", nil, nil, "handlers and the command line find out in the same way what listens"},
	{"api/querystring", nil, nil, "the broker and handlers read a browser's query in the same way"},
	{"api/wire", nil, []string{"google.golang.org/protobuf"}, "both sides of the contract read and write with it"},

	{"internal/contract", []string{"internal/sio", "internal/jsonscan", "api/gen"}, []string{"google.golang.org/protobuf"}, "both wires translate with it"},

	{"internal/hub", []string{"internal/config", "internal/sio", "internal/metrics"}, nil, "the hub reaches browsers and replicas through its own interfaces"},
	{"internal/idempotency", []string{"internal/config", "internal/sio", "internal/metrics"}, nil, "it remembers calls without knowing what they are about"},
	{"internal/trace", []string{"internal/config", "internal/sio", "internal/metrics"}, nil, "rooms tell it what happens, so it must know none of them"},
	{"internal/dispatch", []string{"internal/config", "internal/sio", "internal/metrics", "internal/loglimit"}, nil, "dispatch reaches browsers and handlers through its own interfaces"},
	{"internal/backplane/nats", []string{"internal/config", "internal/backplane", "internal/sio", "internal/metrics", "internal/loglimit"},
		[]string{"github.com/nats-io/"}, "the only room that knows NATS"},
	{"internal/backplane", []string{"internal/backplane", "internal/contract", "internal/sio", "internal/metrics", "internal/loglimit", "api/gen"}, []string{"google.golang.org/protobuf"},
		"the contract between replicas does not know what carries it"},

	{"internal/edge/budget", nil, nil, "both transports count with it"},
	{"internal/edge/wsconn", []string{"internal/hijack", "internal/edge/budget"}, []string{"github.com/gorilla/websocket", "github.com/klauspost/compress/flate", "golang.org/x/sys/unix"}, "one WebSocket connection knows nothing above it"},
	{"internal/edge/engineio", []string{"internal/config", "internal/sio", "internal/loglimit", "internal/hijack", "internal/edge/budget", "internal/edge/wsconn", "internal/origin", "api/querystring"}, []string{"github.com/klauspost/compress/gzip"}, "Engine.IO knows nothing of Socket.IO"},
	{"internal/edge/socketio", []string{"internal/sio", "internal/jsonscan", "api/querystring"}, nil, "the codec does no I/O and knows no transport"},
	{"internal/edge", []string{"internal/config", "internal/edge", "internal/hub", "internal/dispatch", "internal/sio", "internal/metrics", "internal/loglimit"},
		[]string{"github.com/gorilla/websocket"}, "entry points do not know each other: the browsers' entry point meets handlers through dispatch only"},
	{"internal/apijson", []string{"api/gen"}, []string{"google.golang.org/protobuf"}, "it writes the contract for people and knows no room"},
	{"internal/commands", []string{"internal/config", "internal/auth", "internal/contract", "internal/idempotency", "internal/jsonscan", "internal/loglimit", "internal/metrics", "internal/sio", "api/gen"},
		[]string{"google.golang.org/"}, "every entry point of callers executes with it; it reaches sockets and instances through its own interfaces"},
	{"internal/bridge/httpapi", []string{"internal/apijson", "internal/commands", "api/gen", "api/querystring"}, []string{"google.golang.org/"}, "it calls the contract as any caller does"},
	{"internal/bridge", []string{"internal/config", "internal/bridge/httpapi", "internal/commands", "internal/contract", "internal/auth", "internal/hub", "internal/dispatch", "internal/idempotency", "internal/trace", "internal/sio", "internal/jsonscan", "internal/loglimit", "internal/metrics", "api"},
		[]string{"google.golang.org/"}, "entry points do not know each other: the handlers' entry point meets browsers through hub and dispatch only"},
	{"internal/mesh", []string{"internal/config", "internal/hub", "internal/dispatch", "internal/backplane", "internal/sio", "internal/metrics", "internal/loglimit"}, nil,
		"entry points do not know each other: the peers' entry point meets browsers and handlers through hub and dispatch only"},
	{"internal/sessionproxy", []string{"internal/config", "internal/sio", "internal/metrics", "internal/loglimit", "internal/hijack"}, nil,
		"it is an http.Handler before the browsers' entry point, and a function finds the replicas"},
	{"internal/admin", []string{"internal/sio", "internal/metrics"}, []string{"github.com/prometheus/"}, "operators only look"},

	{"internal/broker", []string{"internal", "api/gen"}, []string{"google.golang.org/grpc", "github.com/prometheus/", "github.com/pires/go-proxyproto"},
		"the one place that knows all rooms"},
	{"internal/cli", []string{"internal/broker", "internal/config", "internal/metrics", "internal/apijson", "api/gen", "api/probe"}, []string{"google.golang.org/grpc"},
		"the command line starts a broker or calls one"},
	{"cmd/broker", []string{"internal/cli"}, nil, "the program is the command line"},
	{"cmd/engineio-echo", []string{"internal/edge/engineio", "internal/sio"}, nil, "the echo shows Engine.IO alone"},
	{"cmd/websocket-echo", []string{"internal/edge/wsconn"}, nil, "the echo shows WebSocket alone"},
	{"sdk/go", []string{"sdk/go", "api"}, []string{"google.golang.org/"}, "handlers know the contract, never the broker"},
	{"examples", []string{"sdk/go", "examples/page"}, nil, "examples use what users use"},
}

// onlyHome names modules that only these packages may import.
var onlyHome = map[string]string{
	"github.com/nats-io/":          "internal/backplane/nats",
	"github.com/gorilla/websocket": "internal/edge",
	"go.yaml.in/yaml/v3":           "internal/config internal/auth",
}

type pkg struct {
	ImportPath string
	Imports    []string
	Standard   bool
}

// Every package imports only from floors below its own, and no package of the table is gone.
func TestImportOrder(t *testing.T) {
	met := make(map[string]bool)
	for _, p := range packages(t) {
		path := strings.TrimPrefix(p.ImportPath, module)
		for home, only := range onlyHome {
			if slices.ContainsFunc(p.Imports, func(i string) bool { return under(i, home) }) && !slices.ContainsFunc(strings.Fields(only), func(home string) bool { return under(path, home) }) && governed(path) {
				t.Errorf("%s imports %s, which is the business of %s", path, home, only)
			}
		}
		r := ruleOf(path)
		if r == nil {
			if governed(path) {
				t.Errorf("%s has no place in the table of imports: add it to the floor where it belongs", path)
			}
			continue
		}
		met[r.path] = true
		for _, i := range p.Imports {
			if !r.allows(i) {
				t.Errorf("%s must not import %s: %s", path, i, r.why)
			}
		}
	}
	for _, r := range rules {
		if !met[r.path] {
			t.Errorf("the table of imports names %s, where there is no package", r.path)
		}
	}
}

func packages(t *testing.T) (all []pkg) {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "work")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// governed tells whether the table must name the package. Tests and benchmarks of whole processes
// may import what they like.
func governed(path string) bool {
	return !under(path, "test") && !under(path, "bench") && path != "internal/archtest"
}

func ruleOf(path string) *rule {
	for i := range rules {
		if under(path, rules[i].path) {
			return &rules[i]
		}
	}
	return nil
}

// under tells whether the path is root or below it.
func under(path, root string) bool {
	rest, ok := strings.CutPrefix(path, strings.TrimSuffix(root, "/"))
	return ok && (rest == "" || rest[0] == '/')
}

func (r *rule) allows(imported string) bool {
	if path, ok := strings.CutPrefix(imported, module); ok {
		return slices.ContainsFunc(r.may, func(m string) bool { return under(path, m) })
	}
	first, _, _ := strings.Cut(imported, "/")
	if !strings.Contains(first, ".") {
		return true // the standard library
	}
	return slices.ContainsFunc(r.others, func(m string) bool { return under(imported, m) || strings.HasPrefix(imported, m) })
}
