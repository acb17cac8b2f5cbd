// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"compress/gzip"
	"compress/zlib"
	"io"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"testing"

	"github.com/spanwire/spanwire/internal/edge/edgetest"
)

func (w *world) get(t *testing.T, method, path string, header ...string) (*http.Response, []byte) {
	t.Helper()
	r, err := http.NewRequest(method, w.URL(path), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := w.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, body
}

// Every file of the client must be served as published, with its type and version, plain or packed.
func TestServer_Bundle(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w *world) {
		names, _ := fs.Glob(bundleFiles, "bundle/*")
		if len(names) != 8 {
			t.Errorf("there are %d files", len(names))
		}
		for _, name := range names {
			want, _ := bundleFiles.ReadFile(name)
			url := "/socket.io/" + path.Base(name)
			response, body := w.get(t, "GET", url)
			wantType := "application/javascript; charset=utf-8"
			if strings.HasSuffix(name, ".map") {
				wantType = "application/json; charset=utf-8"
			}
			if h := response.Header; response.StatusCode != 200 || string(body) != string(want) || h.Get("Content-Type") != wantType ||
				!strings.HasPrefix(h.Get("ETag"), `W/"4.`) || h.Get("Access-Control-Allow-Origin") != "*" || h.Get("Content-Encoding") != "" {
				t.Errorf("%s: %s, %v, %d bytes", url, response.Status, h, len(body))
			}
			response, body = w.get(t, "GET", url, "Accept-Encoding", "br;q=1, GZIP;q=0.5")
			if response.Header.Get("Content-Encoding") != "gzip" || len(body) > len(want)/2 {
				t.Errorf("%s: packed to %d of %d bytes, %v", url, len(body), len(want), response.Header)
			}
			if unpacked := unpack(t, body); string(unpacked) != string(want) {
				t.Errorf("%s: unpacked to %d bytes", url, len(unpacked))
			}
			response, body = w.get(t, "GET", url, "Accept-Encoding", "deflate")
			if unpacked := inflate(t, body); response.Header.Get("Content-Encoding") != "deflate" || string(unpacked) != string(want) {
				t.Errorf("%s: deflated to %d bytes, %v", url, len(body), response.Header)
			}
			for _, tag := range []string{response.Header.Get("ETag"), strings.TrimPrefix(response.Header.Get("ETag"), "W/"), `"x", ` + response.Header.Get("ETag"), "*"} {
				if response, body = w.get(t, "GET", url, "If-None-Match", tag); response.StatusCode != http.StatusNotModified || len(body) > 0 {
					t.Errorf("%s with %s: %s", url, tag, response.Status)
				}
			}
		}
	})
}

func inflate(t *testing.T, packed []byte) []byte {
	t.Helper()
	r, err := zlib.NewReader(strings.NewReader(string(packed)))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

func unpack(t *testing.T, packed []byte) []byte {
	r, err := gzip.NewReader(strings.NewReader(string(packed)))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

// What is no file of the client must be answered quickly with 404, and other methods with 405.
// (H18)
func TestServer_BundleUnknown(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w *world) {
		for _, path := range []string{
			"/socket.io/socket.io.msgpack.js", "/socket.io/socket.io", "/socket.io/socket.io.js/", "/socket.io/socket.io.js.gz", "/socket.io/nope.js",
			"/socket.io/socket.io/../socket.io.js", "/socket.io/socket.io..%2f..%2fbundle.go", "/socket.io/LICENSE-socket.io-client", "/socket.io.js", "/",
		} {
			if response, _ := w.get(t, "GET", path); response.StatusCode != http.StatusNotFound {
				t.Errorf("%s: %s", path, response.Status)
			}
		}
		if response, _ := w.get(t, "POST", "/socket.io/socket.io.js"); response.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("POST: %s", response.Status)
		}
		if response, body := w.get(t, "HEAD", "/socket.io/socket.io.js"); response.StatusCode != 200 || len(body) > 0 || response.ContentLength < 1000 {
			t.Errorf("HEAD: %s, %d", response.Status, response.ContentLength)
		}
		if response, _ := w.get(t, "GET", "/socket.io/socket.io.js", "Accept-Encoding", "gzip;q=0"); response.Header.Get("Content-Encoding") != "" {
			t.Error("packed although gzip was refused")
		}
	})
}

// The client must be found under every path, and not at all when it is switched off.
func TestServer_BundlePath(t *testing.T) {
	inBubble(t, func(s *setup) { s.edge.Engine.Paths = []string{"/socket.io/", "/chat/io/"} }, func(t *testing.T, w *world) {
		for _, path := range []string{"/socket.io/", "/chat/io/"} {
			if response, _ := w.get(t, "GET", path+"socket.io.min.js"); response.StatusCode != 200 {
				t.Error(response.Status)
			}
			w.Open(edgetest.Options{Path: path}).Connect("/", nil)
		}
	})
	inBubble(t, func(s *setup) { s.edge.ServeClient = false }, func(t *testing.T, w *world) {
		if response, _ := w.get(t, "GET", "/socket.io/socket.io.min.js"); response.StatusCode != 404 {
			t.Error(response.Status)
		}
	})
}
