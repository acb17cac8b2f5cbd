// SPDX-License-Identifier: Apache-2.0

package hub

import (
	"fmt"
	"net"
	"testing"

	"github.com/spanwire/spanwire/internal/sio"
)

// pipeSocket writes each delivery to a socket of the system, since that is what a delivery costs in
// the main.
type pipeSocket struct {
	id   sio.SocketID
	conn net.PacketConn
	to   net.Addr
	data []byte
}

func (s *pipeSocket) ID() sio.SocketID { return s.id }
func (s *pipeSocket) Disconnect(bool)  {}
func (s *pipeSocket) Deliver(d *Delivery) {
	data := d.Encoded(0, func() any { return s.data }).([]byte)
	s.conn.WriteTo(data, s.to) //nolint:errcheck // nobody reads: full is fine
}

// BenchmarkHub_Deliver measures one delivery among many, with a system call each and without, by
// number of workers.
func BenchmarkHub_Deliver(b *testing.B) {
	sink, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer sink.Close()
	for _, cost := range []string{"nothing", "write"} {
		for _, receivers := range []int{1, 16, 128, 256, 1000, 10000} {
			for _, workers := range []int{1, 2, 4} {
				if receivers == 1 && workers > 1 {
					continue
				}
				b.Run(fmt.Sprintf("%s/receivers=%d/workers=%d", cost, receivers, workers), func(b *testing.B) {
					h := newHub(Alone{})
					h.workers, h.wide = workers, 2
					for range receivers {
						id := sio.NewSocketID(replica)
						if cost == "nothing" {
							h.Add(main, &silentSocket{id: id})
							continue
						}
						conn, err := net.ListenPacket("udp", "127.0.0.1:0")
						if err != nil {
							b.Fatal(err)
						}
						defer conn.Close()
						h.Add(main, &pipeSocket{id: id, conn: conn, to: sink.LocalAddr(), data: make([]byte, 100)})
					}
					e := emit(main)
					b.ReportAllocs()
					for b.Loop() {
						h.Deliver(e)
					}
					b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(receivers), "ns/delivery")
				})
			}
		}
	}
}

// BenchmarkHub_Memory tells what an idle socket costs the hub.
func BenchmarkHub_Memory(b *testing.B) {
	b.ReportAllocs()
	h := newHub(Alone{})
	sockets := make([]*silentSocket, 0, 1024)
	for b.Loop() {
		s := &silentSocket{id: "AAAAAA"}
		s.id = sio.NewSocketID(replica)
		sockets = append(sockets, s)
		h.Add(main, s)
	}
}
