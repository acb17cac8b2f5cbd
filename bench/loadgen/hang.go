// SPDX-License-Identifier: Apache-2.0

package loadgen

// nobody waits for anything.
type nobody struct{}

func (nobody) ack(*client, uint64, []byte) {}
func (nobody) event(*client)               {}

// Hang sends some events from each client whose handler never returns, and does not wait for them.
func (f *Fleet) Hang(each int) error {
	packet := newEvent("hang", Payload)
	for _, c := range f.clients {
		c.on = nobody{}
		for n := range each {
			packet.queue(c, uint64(n))
		}
		if err := c.flush(); err != nil {
			return err
		}
	}
	return f.Err()
}
