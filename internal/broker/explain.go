// SPDX-License-Identifier: Apache-2.0

package broker

import (
	"fmt"
	"html"
	"net/http"
	"strings"
	"time"
)

// explain answers a person in a browser with a page, which may look again after a while, and a program with the bare text.
func explain(w http.ResponseWriter, r *http.Request, code int, again time.Duration, text string) {
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		http.Error(w, text, code)
		return
	}
	refresh := ""
	if again > 0 && r.Method == http.MethodGet {
		refresh = fmt.Sprintf(`<meta http-equiv="refresh" content="%d">`, int(again.Seconds()))
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = fmt.Fprintf(w, "<!doctype html><html lang=en><meta charset=utf-8>%s<title>Spanwire</title>"+
		"<body style=\"font:16px/1.5 system-ui;margin:4rem auto;max-width:40rem;padding:0 1rem\"><h1>Spanwire</h1><p>%s</p></html>\n",
		refresh, html.EscapeString(text))
}
