// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"bytes"
	"compress/gzip"
	"embed"
	"io/fs"
	"net/http"
	"path"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// The files of the npm package socket.io-client, as published. Their licence stands beside them.
//
//go:embed bundle/*.js bundle/*.map
var bundleFiles embed.FS

// bundle serves the JavaScript client. The files are public and the same for everybody, so any origin may load them.
type bundle struct {
	prefix  string // of the paths, "/socket.io/socket.io"
	version string
	files   map[string]*bundleFile // by name
}

type bundleFile struct {
	plain  []byte
	packed func() []byte // gzip, made when it is first asked for
}

// bundlePrefix is the beginning of the names of all files.
const bundlePrefix = "socket.io"

var bundleVersion = regexp.MustCompile(`Socket\.IO v([0-9.]+)`)

func newBundle(enginePath string) *bundle {
	b := &bundle{prefix: strings.TrimSuffix(enginePath, "/") + "/" + bundlePrefix, files: map[string]*bundleFile{}}
	names, _ := fs.Glob(bundleFiles, "bundle/*") // the pattern is right
	for _, name := range names {
		plain, _ := bundleFiles.ReadFile(name) // it is in the binary
		b.files[path.Base(name)] = &bundleFile{plain: plain, packed: sync.OnceValue(func() []byte { return pack(plain) })}
		if found := bundleVersion.FindSubmatch(plain[:min(len(plain), 200)]); found != nil {
			b.version = string(found[1])
		}
	}
	return b
}

func pack(plain []byte) []byte {
	var packed bytes.Buffer
	w, _ := gzip.NewWriterLevel(&packed, gzip.BestCompression) // the level is right
	w.Write(plain)                                             // a buffer takes everything
	w.Close()
	return packed.Bytes()
}

// ServeHTTP implements http.Handler for paths with the prefix.
func (b *bundle) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := bundlePrefix + strings.TrimPrefix(r.URL.Path, b.prefix)
	file := b.files[name]
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	switch {
	case file == nil:
		http.Error(w, "there is no such client bundle", http.StatusNotFound)
		return
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
		return
	}
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	h.Set("Cache-Control", "public, max-age=0")
	h.Set("Vary", "Accept-Encoding")
	// One tag for both encodings: a weak one, since they differ in bytes.
	h.Set("ETag", `W/"`+b.version+`"`)
	if hasTag(r.Header.Get("If-None-Match"), b.version) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	if strings.HasSuffix(name, ".map") {
		h.Set("Content-Type", "application/json; charset=utf-8")
	} else {
		h.Set("Content-Type", "application/javascript; charset=utf-8")
	}
	body := file.plain
	if acceptsGzip(r.Header.Get("Accept-Encoding")) {
		h.Set("Content-Encoding", "gzip")
		body = file.packed()
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method == http.MethodGet {
		w.Write(body) // an error means that the browser is gone
	}
}

// hasTag tells whether If-None-Match names the version, weakly or not.
func hasTag(header, version string) bool {
	for tag := range strings.SplitSeq(header, ",") {
		if tag = strings.TrimSpace(tag); tag == "*" || strings.TrimPrefix(tag, "W/") == `"`+version+`"` {
			return true
		}
	}
	return false
}

// acceptsGzip tells whether Accept-Encoding names gzip and does not refuse it with a quality of zero.
func acceptsGzip(header string) bool {
	for coding := range strings.SplitSeq(header, ",") {
		name, quality, _ := strings.Cut(coding, ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") {
			_, q, found := strings.Cut(quality, "=")
			value, err := strconv.ParseFloat(strings.TrimSpace(q), 64)
			return !found || err == nil && value > 0
		}
	}
	return false
}
