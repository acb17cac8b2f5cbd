// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/spanwire/spanwire/internal/sio"
)

// An event that was emitted without compression must not be compressed for a polling browser,
// whether it is alone or shares it.
func TestSocket_DeliverNoCompress(t *testing.T) {
	for receivers := 1; receivers <= 2; receivers++ {
		inBubble(t, nil, func(t *testing.T, w *world) {
			const path = "/socket.io/?EIO=4&transport=polling"
			var paths []string
			for range receivers {
				_, open := w.get(t, "GET", path)
				sid, _, _ := strings.Cut(strings.TrimPrefix(string(open), `0{"sid":"`), `"`)
				paths = append(paths, path+"&sid="+sid)
				w.post(t, paths[len(paths)-1], "40")
				w.get(t, "GET", paths[len(paths)-1]) // connected
			}
			for _, plain := range []bool{false, true} {
				w.hub.Execute(&sio.Emit{
					Target: sio.Target{Namespace: "/"}, EmitFlags: sio.EmitFlags{NoCompress: plain}, Event: sio.Event{Name: "news", Args: []byte(`["` + strings.Repeat("x", 2000) + `"]`)},
				})
				synctest.Wait()
				for _, path := range paths {
					response, body := w.get(t, "GET", path, "Accept-Encoding", "gzip")
					if packed := response.Header.Get("Content-Encoding") == "gzip"; packed == plain || plain && !strings.HasPrefix(string(body), `42["news",`) {
						t.Errorf("%d receivers, without compression %v: %v %.40q", receivers, plain, response.Header, body)
					}
				}
			}
		})
	}
}

func (w *world) post(t *testing.T, path, body string) {
	t.Helper()
	response, err := w.Client().Post(w.URL(path), "text/plain", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if answer, _ := io.ReadAll(response.Body); response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", response.Status, answer)
	}
}
