// SPDX-License-Identifier: Apache-2.0

package wsconn

import (
	"strings"
	"testing"
)

// Messages of any size come as they were sent, whichever character stands where one block ends and
// the next begins; and one byte that is wrong closes, wherever it stands.
func TestConn_Read_Blocks(t *testing.T) {
	got := make(chan string, 1)
	address := serve(t, Options{}, func(c *Conn) {
		for {
			data, _, err := c.Read()
			if err != nil {
				return
			}
			got <- string(data)
		}
	})
	p, _ := dial(t, address)
	for _, size := range []int{0, 1, newScratch, newScratch + 1, blockSize - 1, blockSize, blockSize + 1, 2 * blockSize, 700_000, 1_000_000} {
		text := strings.Repeat("x", size)
		p.send(frame(0x82, text))
		if g := <-got; g != text {
			t.Fatalf("of %d bytes came %d, or others", size, len(g))
		}
	}
	for _, character := range []string{"é", "€", "😀"} {
		for before := range 5 {
			text := strings.Repeat("x", before) + strings.Repeat(character, 300_000/len(character))
			p.send(frame(0x81, text))
			if g := <-got; g != text {
				t.Fatalf("%s after %d bytes: %d bytes came, or others", character, before, len(g))
			}
		}
	}
	for _, at := range []int{10, newScratch, blockSize - 1, blockSize, 3*blockSize - 1, 290_000} {
		p, _ := dial(t, address)
		text := strings.Repeat("€", 100_000)
		p.send(frame(0x81, text[:at]+"\xff"+text[at:]))
		p.want("close 1007")
	}
}
