// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/api/querystring"
)

// Handshake is the request with which a browser opened its session, and the auth payload of its
// connect to the namespace. The caller must not change it.
type Handshake struct {
	Method string // of the opening request: "GET"
	URL    string // its path and raw query, as sent
	// every pair of the query, also one with a malformed escape such as "100%"
	Query          url.Values
	Host           string      // its Host header
	Headers        http.Header // Cookie and Authorization only with Options.Credentials
	Address        string      // of the client, without its port
	Secure         bool        // whether the browser used TLS, as far as the broker knows
	CrossDomain    bool        // whether the request had the Origin of another site
	Issued         time.Time
	Transport      string          // "polling" or "websocket"
	EngineProtocol int             // the revision of Engine.IO
	Auth           json.RawMessage // a JSON object; nil when the client sent none
}

// BindAuth decodes the auth payload into target. Without one it leaves target unchanged.
func (h *Handshake) BindAuth(target any) error {
	if len(h.Auth) == 0 {
		return nil
	}
	return json.Unmarshal(h.Auth, target)
}

// Cookie returns the value of a cookie of the opening request, or "" for none. It needs
// Options.Credentials.
func (h *Handshake) Cookie(name string) string {
	c, err := (&http.Request{Header: h.Headers}).Cookie(name)
	if err != nil {
		return ""
	}
	return c.Value
}

// parseIntroduction decodes the introduction of a dispatch.
func parseIntroduction(data []byte) (*Handshake, *socketData, error) {
	var in spanwirev1.Introduction
	if err := proto.Unmarshal(data, &in); err != nil {
		return nil, nil, err
	}
	return handshakeFromProto(in.GetHandshake()), &socketData{json: in.GetData(), version: in.GetDataVersion()}, nil
}

func handshakeFromProto(m *spanwirev1.Handshake) *Handshake {
	h := &Handshake{
		Method: m.GetMethod(), URL: m.GetUrl(), Host: m.GetHost(), Address: m.GetAddress(),
		Secure: m.GetSecure(), CrossDomain: m.GetCrossDomain(), Issued: time.UnixMilli(m.GetIssuedMs()),
		Transport: m.GetTransport(), EngineProtocol: int(m.GetEngineProtocol()), Auth: m.GetAuth(),
		Headers: make(http.Header, len(m.GetHeaders())),
	}
	for _, line := range m.GetHeaders() {
		h.Headers[line.GetName()] = append(h.Headers[line.GetName()], line.GetValue())
	}
	_, raw, _ := strings.Cut(h.URL, "?")
	raw, _, _ = strings.Cut(raw, "#")
	h.Query = querystring.Parse(raw)
	return h
}
