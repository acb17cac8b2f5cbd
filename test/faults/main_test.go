// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/spanwire/spanwire/test/process"
)

// limit bounds every wait for what must happen at all. It is generous, since machines that run
// suites are busy.
const limit = 2 * time.Minute

// built holds what all tests start.
var built struct{ repository, broker, handler, python string }

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	folder, err := os.MkdirTemp("", "spanwire-faults-")
	if err != nil {
		return 1, err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	if built.repository, err = filepath.Abs("../.."); err != nil {
		return 1, err
	}
	// or a binary that is there already
	if built.broker = os.Getenv("TEST_BROKER"); built.broker == "" {
		if built.broker, err = process.BuildBroker(built.repository, folder); err != nil {
			return 1, err
		}
	}
	if built.handler, err = process.BuildGo(built.repository, folder, "handler", "./test/faults/handler"); err != nil {
		return 1, err
	}
	built.python = cmp.Or(os.Getenv("TEST_PYTHON"), filepath.Join(built.repository, ".venv/bin/python"))
	return m.Run(), nil
}
