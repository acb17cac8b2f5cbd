// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"embed"
	"io"
	"io/fs"
	"net/http"
	"path"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/spanwire/spanwire/internal/edge/engineio"
)

// The files of the npm package socket.io-client, as published. Their licence stands beside them.
//
//go:embed bundle/*.js bundle/*.map
var bundleFiles embed.FS

// bundle serves the JavaScript client. The files are public and the same for everybody, so any
// origin may load them.
type bundle struct {
	prefixes []string // of the paths, "/socket.io/socket.io"
	version  string
	files    map[string]*bundleFile // by name
}

type bundleFile struct {
	plain  []byte
	packed map[engineio.Encoding]func() []byte // each made when it is first asked for
}

// bundlePrefix is the beginning of the names of all files.
const bundlePrefix = "socket.io"

var bundleVersion = regexp.MustCompile(`Socket\.IO v([0-9.]+)`)

func newBundle(enginePaths []string) *bundle {
	b := &bundle{files: map[string]*bundleFile{}}
	for _, path := range enginePaths {
		b.prefixes = append(b.prefixes, strings.TrimSuffix(path, "/")+"/"+bundlePrefix)
	}
	names, _ := fs.Glob(bundleFiles, "bundle/*") // the pattern is right
	for _, name := range names {
		plain, _ := bundleFiles.ReadFile(name) // it is in the binary
		b.files[path.Base(name)] = newBundleFile(plain)
		if found := bundleVersion.FindSubmatch(plain[:min(len(plain), 200)]); found != nil {
			b.version = string(found[1])
		}
	}
	return b
}

// newBundleFile packs with care what is packed once and sent often.
func newBundleFile(plain []byte) *bundleFile {
	pack := func(open func(w io.Writer) io.WriteCloser) func() []byte {
		return sync.OnceValue(func() []byte {
			var packed bytes.Buffer
			w := open(&packed)
			w.Write(plain) // a buffer takes everything
			w.Close()
			return packed.Bytes()
		})
	}
	return &bundleFile{plain: plain, packed: map[engineio.Encoding]func() []byte{
		engineio.Gzip: pack(func(w io.Writer) io.WriteCloser {
			packer, _ := gzip.NewWriterLevel(w, gzip.BestCompression) // the level is right
			return packer
		}),
		engineio.Deflate: pack(func(w io.Writer) io.WriteCloser {
			packer, _ := zlib.NewWriterLevel(w, zlib.BestCompression) // the level is right
			return packer
		}),
	}}
}

// serves tells the name of the file that a path asks for, if it asks for one.
func (b *bundle) serves(path string) (name string, ok bool) {
	for _, prefix := range b.prefixes {
		if rest, found := strings.CutPrefix(path, prefix); found {
			return bundlePrefix + rest, true
		}
	}
	return "", false
}

// serve answers a request for a file.
func (b *bundle) serve(w http.ResponseWriter, r *http.Request, name string) {
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
	if e := engineio.Accepted(r.Header); e != engineio.Identity {
		h.Set("Content-Encoding", string(e))
		body = file.packed[e]()
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
