// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// binary is the broker, built once for all tests.
var binary string

func TestMain(m *testing.M) {
	folder, err := os.MkdirTemp("", "broker-cli-")
	if err == nil {
		binary = filepath.Join(folder, "broker")
		var out []byte
		if out, err = exec.Command("go", "build", "-o", binary, "github.com/spanwire/spanwire/cmd/broker").CombinedOutput(); err != nil {
			err = fmt.Errorf("%w\n%s", err, out)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		os.RemoveAll(folder)
		os.Exit(code)
	}))
}

// Commands that end by themselves: what they print, where, and their exit codes.
func TestCommands(t *testing.T) {
	config := filepath.Join(t.TempDir(), "broker.yaml")
	if err := os.WriteFile(config, []byte("ping_intervall: 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args    string // with ; between
		environ string
		code    int
		stdout  []string
		stderr  []string
	}{
		{args: "version", stdout: []string{"spanwire broker "}},
		{args: "help", stdout: []string{"broker dev", "--ping-interval", "SPANWIRE_PING_INTERVAL"}},
		{args: "-h", stdout: []string{"broker dev"}},
		{args: "serve;--help", stdout: []string{"broker dev"}},
		{args: "settings", stdout: []string{"# Settings", "| `ping-interval` | duration | `25000` ms |"}},
		{args: "metrics", stdout: []string{"# Metrics", "spanwire_hub_sockets"}},
		{args: "emit;-h", stdout: []string{"broker emit [flags] EVENT", "-wait-acks"}},

		{args: "emit;-h", stdout: []string{"-count", "-key", "idempotency key"}},
		{args: "sockets;-h", stdout: []string{"broker sockets [flags]", "-room", "-json"}},
		{args: "rooms;--help", stdout: []string{"broker rooms [flags]", "-own"}},
		{args: "services;-h", stdout: []string{"broker services [flags]", "-token"}},
		{args: "tail;-h", stdout: []string{"broker tail [flags]", "exit code 130", "-service"}},
		{args: "help", stdout: []string{"broker tail", "broker sockets", "broker rooms", "broker services"}},

		{args: "sevre", code: 2, stderr: []string{`there is no command "sevre"`, "broker help"}},
		{args: "serve;now", code: 2, stderr: []string{`serve takes flags only, not "now"`}},
		{args: "--ping-intervall=3", code: 2, stderr: []string{"--ping-intervall is not known; did you mean ping-interval?"}},
		{args: "--ping-interval=soon;--max-payload=big", code: 2, stderr: []string{`"soon" is no duration`, `"big" is no size`}},
		{args: "serve", environ: "SPANWIRE_PING_INTERVALL=3", code: 2, stderr: []string{"did you mean SPANWIRE_PING_INTERVAL?"}},
		{args: "--config;" + config, code: 2, stderr: []string{"did you mean ping_interval?"}},
		{args: "--service-address=:0", code: 2, stderr: []string{"insecure-services"}},
		{args: "--http-address=192.0.2.1:80", code: 1, stderr: []string{"192.0.2.1:80 is no address of this machine"}},

		{args: "dev", code: 2, stderr: []string{"dev needs the command", "broker dev -- "}},
		{args: "emit", code: 2, stderr: []string{"emit needs the name of an event"}},
		{args: "emit;news;hello", code: 2, stderr: []string{`argument hello is no JSON value`, `'"hello"'`}},
		{args: "emit;news;--room;x", code: 2, stderr: []string{"flags stand before the event"}},
		{args: "emit;--wait-acks=soon;news", code: 2, stderr: []string{"soon"}},
		{args: "emit;--address=127.0.0.1:1;news;1", code: 1, stderr: []string{"127.0.0.1:1", "SPANWIRE_ADDRESS", "did not take the call"}},
		{args: "emit;news", environ: "SPANWIRE_ADDRESS=127.0.0.1:1, 127.0.0.1:2", code: 1, stderr: []string{"127.0.0.1:2"}},
		{args: "tail;now", code: 2, stderr: []string{`tail takes flags only, not "now"`}},
		{args: "rooms;--room=x", code: 2, stderr: []string{"-room"}},
		{args: "tail;--address=127.0.0.1:1", code: 1, stderr: []string{"127.0.0.1:1", "SPANWIRE_ADDRESS"}},
		{args: "services;--address=127.0.0.1:1", code: 1, stderr: []string{"did not take the call"}},
		{args: "sockets;--tls-cert=/nowhere.pem", code: 1, stderr: []string{"--tls-cert and --tls-key"}},
		{args: "emit;news;[{\"_bytes\":\"?\"}]", code: 2, stderr: []string{"not base64"}},
		{args: "emit;--tls-ca=/nowhere.pem;news", code: 1, stderr: []string{"--tls-ca", "/nowhere.pem"}},
	} {
		t.Run(tt.args+tt.environ, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), binary, strings.Split(tt.args, ";")...)
			cmd.Env = []string{tt.environ}
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			err := cmd.Run()
			if code := cmd.ProcessState.ExitCode(); code != tt.code {
				t.Errorf("exit code %d (%v), not %d\n%s", code, err, tt.code, stderr.String())
			}
			for _, want := range tt.stdout {
				if !strings.Contains(stdout.String(), want) {
					t.Errorf("standard output lacks %q:\n%s", want, stdout.String())
				}
			}
			for _, want := range tt.stderr {
				if !strings.Contains(stderr.String(), want) {
					t.Errorf("standard error lacks %q:\n%s", want, stderr.String())
				}
			}
			if len(tt.stderr) == 0 && stderr.Len() > 0 {
				t.Errorf("standard error: %s", stderr.String())
			}
		})
	}
}
