// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/spanwire/spanwire/test/process"
)

// request is the body of every request; each uses what it needs.
type request struct {
	Replicas int      `json:"replicas"` // of a new cluster
	Replica  int      `json:"replica"`  // which one
	Flags    []string `json:"flags"`    // of the broker
	Env      []string `json:"env"`      // of a handler, NAME=value
	By       string   `json:"by"`       // requests or connections
	Signal   string   `json:"signal"`   // kill or term
	App      string   `json:"app"`      // flask_chat, go_chat or polyglot
	Args     []string `json:"args"`     // of a command line
}

// replica is how a replica is described to the suite.
type replica struct {
	Name      string `json:"name"`
	URL       string `json:"url"`
	Operators string `json:"operators"`
	Services  string `json:"services"`
}

func describe(b *process.Broker) replica {
	return replica{Name: b.Name, URL: "http://" + b.HTTP, Operators: "http://" + b.Operators, Services: b.Services}
}

// handler answers:
//
//	POST   /clusters {replicas, flags}             {id, replicas}
//	DELETE /clusters/{id}
//	POST   /clusters/{id}/handlers {replica, env}  {name}
//	POST   /clusters/{id}/apps {app, flags}        a replica, started as `broker dev`
//	DELETE /clusters/{id}/processes/{name} {signal}
//	GET    /clusters/{id}/processes/{name}         what it has printed
//	POST   /clusters/{id}/lines {replica}          {name, url} of a line to a replica
//	POST   /clusters/{id}/lines/{name}/cut         ends all connections of a line
//	POST   /clusters/{id}/balancers {by}           {url} that gives each request, or each
//	                                               connection, to the next replica
//	POST   /clusters/{id}/address                  {address} that nobody listens at
//	POST   /clusters/{id}/cli {replica, args}      {code, output} of `broker ARGS`
//	POST   /clusters/{id}/emitter {replica, args}  {code, output} of the handlers' program used as
//	                                               an emitter
func (c *control) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /clusters", func(w http.ResponseWriter, r *http.Request) { answer(w)(c.newCluster(r)) })
	mux.HandleFunc("DELETE /clusters/{id}", func(w http.ResponseWriter, r *http.Request) {
		c.clusters.stop(r.PathValue("id"))
		answer(w)(struct{}{}, nil)
	})
	for pattern, do := range map[string]func(*http.Request, *cluster, *request) (any, error){
		"POST /clusters/{id}/handlers":           c.newHandler,
		"POST /clusters/{id}/apps":               c.newApp,
		"DELETE /clusters/{id}/processes/{name}": c.endProcess,
		"GET /clusters/{id}/processes/{name}":    c.printed,
		"POST /clusters/{id}/lines":              newLine,
		"POST /clusters/{id}/lines/{name}/cut":   cutLine,
		"POST /clusters/{id}/balancers":          newBalancer,
		"POST /clusters/{id}/address":            freeAddress,
		"POST /clusters/{id}/cli":                c.cli,
		"POST /clusters/{id}/emitter":            c.emitter,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			var q request
			if r.ContentLength != 0 {
				if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
					answer(w)(nil, err)
					return
				}
			}
			cl := c.clusters.get(r.PathValue("id"))
			if cl == nil {
				answer(w)(nil, fmt.Errorf("there is no cluster %q", r.PathValue("id")))
				return
			}
			cl.mu.Lock()
			defer cl.mu.Unlock()
			answer(w)(do(r, cl, &q))
		})
	}
	return mux
}

// answer writes what a request came to.
func answer(w http.ResponseWriter) func(any, error) {
	return func(value any, err error) {
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(value) // the suite went away
	}
}

func (c *control) newCluster(r *http.Request) (any, error) {
	var q request
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		return nil, err
	}
	cl := c.clusters.add()
	replicas, err := cl.start(c.broker, q.Replicas, slices.Concat(c.settings, q.Flags))
	if err != nil {
		c.clusters.stop(cl.id)
		return nil, err
	}
	return map[string]any{"id": cl.id, "replicas": replicas}, nil
}

func (c *control) newHandler(_ *http.Request, cl *cluster, q *request) (any, error) {
	name, err := cl.handler(c.handlerCommand(), append(q.Env, c.pythonPath()), q.Replica)
	return map[string]any{"name": name}, err
}

func (c *control) newApp(_ *http.Request, cl *cluster, q *request) (any, error) {
	folder, command := filepath.Join(c.repository, "examples", q.App), []string{c.python, "app.py"}
	switch q.App {
	case "go_chat":
		command = []string{c.built["go_chat"]}
	case "node_chat":
		command = []string{"node", "handler.js"}
	case "polyglot": // both halves, as `make run-polyglot` starts them
		command = []string{"sh", "-c", `"$0" service.py & exec "$1"`, c.python, c.built["polyglot"]}
	}
	b, err := cl.application(c.broker, folder, []string{c.pythonPath()}, slices.Concat(c.settings, q.Flags), command)
	if err != nil {
		return nil, err
	}
	return describe(b), nil
}

func (c *control) endProcess(r *http.Request, cl *cluster, q *request) (any, error) {
	signal := syscall.SIGTERM
	if q.Signal == "kill" {
		signal = syscall.SIGKILL
	}
	return struct{}{}, cl.end(r.PathValue("name"), signal)
}

func (c *control) printed(r *http.Request, cl *cluster, _ *request) (any, error) {
	p := cl.process(r.PathValue("name"))
	if p == nil {
		return nil, fmt.Errorf("no process is named %q", r.PathValue("name"))
	}
	return map[string]any{"text": p.Log(), "pid": p.PID()}, nil
}

func newLine(_ *http.Request, cl *cluster, q *request) (any, error) {
	l, err := process.Listen(cl.replicas[q.Replica].HTTP)
	if err != nil {
		return nil, err
	}
	cl.lines = append(cl.lines, l)
	return map[string]any{"name": fmt.Sprint(len(cl.lines) - 1), "url": "http://" + l.Address()}, nil
}

func cutLine(r *http.Request, cl *cluster, _ *request) (any, error) {
	n, err := strconv.Atoi(r.PathValue("name"))
	if err != nil || n < 0 || n >= len(cl.lines) {
		return nil, fmt.Errorf("there is no line %q", r.PathValue("name"))
	}
	cl.lines[n].Cut()
	return struct{}{}, nil
}

func newBalancer(_ *http.Request, cl *cluster, q *request) (any, error) {
	targets := make([]string, len(cl.replicas))
	for i, b := range cl.replicas {
		targets[i] = b.HTTP
	}
	var b interface {
		io.Closer
		Address() string
	}
	var err error
	if q.By == "connections" {
		b, err = process.Listen(targets...)
	} else {
		b, err = balance(targets)
	}
	if err != nil {
		return nil, err
	}
	cl.balanced = append(cl.balanced, b)
	return map[string]any{"url": "http://" + b.Address()}, nil
}

func freeAddress(*http.Request, *cluster, *request) (any, error) {
	address, err := process.FreeAddress()
	return map[string]any{"address": address}, err
}

func (c *control) cli(r *http.Request, cl *cluster, q *request) (any, error) {
	return c.once(r.Context(), cl, q, c.broker)
}

func (c *control) emitter(r *http.Request, cl *cluster, q *request) (any, error) {
	return c.once(r.Context(), cl, q, append(c.handlerCommand(), "emit")...)
}

// once runs a program to its end.
func (c *control) once(ctx context.Context, cl *cluster, q *request, command ...string) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], append(command[1:], q.Args...)...)
	cmd.Env = append(os.Environ(), "SPANWIRE_ADDRESS="+cl.replicas[q.Replica].Services, c.pythonPath())
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		return nil, err
	}
	return map[string]any{"code": cmd.ProcessState.ExitCode(), "output": string(out)}, nil
}
