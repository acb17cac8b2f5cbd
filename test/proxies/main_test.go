// SPDX-License-Identifier: Apache-2.0

package proxies

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/spanwire/spanwire/test/process"
)

// limit bounds every wait. It is generous, since machines that run suites are busy.
const limit = 2 * time.Minute

// built holds what all tests start.
var built struct{ repository, broker, handler string }

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	folder, err := os.MkdirTemp("", "spanwire-proxies-")
	if err != nil {
		return 1, err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	if built.repository, err = filepath.Abs("../.."); err != nil {
		return 1, err
	}
	if built.broker = os.Getenv("TEST_BROKER"); built.broker == "" {
		if built.broker, err = process.BuildBroker(built.repository, folder); err != nil {
			return 1, err
		}
	}
	// Where Debian keeps servers, which is not in everybody's path.
	if err := os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin"); err != nil {
		return 1, err
	}
	built.handler, err = process.BuildGo(built.repository, folder, "handler", "./test/interop/handlers/go")
	if err != nil {
		return 1, err
	}
	return m.Run(), nil
}
