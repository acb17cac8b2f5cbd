// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"os"
	"time"
)

// parentCheck is how often the parent is looked for. The system reports its end too, but takes the
// end of the thread that started this process for it.
const parentCheck = 250 * time.Millisecond

// watchParent returns when the parent is not id any more, because the parent ended and the system
// gave this process another, or when quit is closed.
func watchParent(id int, quit <-chan struct{}) {
	tick := time.NewTicker(parentCheck)
	defer tick.Stop()
	for os.Getppid() == id {
		select {
		case <-tick.C:
		case <-quit:
			return
		}
	}
}
