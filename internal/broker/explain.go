// SPDX-License-Identifier: Apache-2.0

package broker

import (
	"fmt"
	"html"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// explain answers a person in a browser with a page, which may look again after a while, and a
// program with the bare text.
func explain(w http.ResponseWriter, r *http.Request, code int, again time.Duration, text string) {
	h := w.Header()
	kind, body := "text/plain", text+"\n"
	if strings.Contains(r.Header.Get("Accept"), "text/html") {
		refresh := ""
		if again > 0 && r.Method == http.MethodGet {
			refresh = fmt.Sprintf(`<meta http-equiv="refresh" content="%d">`, int(again.Seconds()))
		}
		kind, body = "text/html", fmt.Sprintf("<!doctype html><html lang=en><meta charset=utf-8>%s<title>Spanwire</title>"+
			"<body style=\"font:16px/1.5 system-ui;margin:4rem auto;max-width:40rem;padding:0 1rem\"><h1>Spanwire</h1><p>%s</p></html>\n",
			refresh, html.EscapeString(text))
		h.Set("Cache-Control", "no-store")
	}
	h.Set("Content-Type", kind+"; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(body))) // also an answer that is flushed has its end
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, body) // an error means that the client went away
}
