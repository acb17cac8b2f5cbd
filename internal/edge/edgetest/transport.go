// SPDX-License-Identifier: Apache-2.0

package edgetest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/gorilla/websocket"
)

// Options says how a Browser opens its session. The zero value is a WebSocket to /socket.io/.
type Options struct {
	Polling bool
	Path    string
	Query   string // more of the query, "a=b"
	Header  http.Header
}

// transport carries Engine.IO packets in their text form, and binary messages.
type transport interface {
	// read blocks; it is called by one goroutine.
	read() ([]Message, error)
	write(m Message) error
	// cut ends the transport without a word.
	cut()
}

// Message is one text message or one binary message. Text is an Engine.IO packet between browser
// and transport, and a Socket.IO packet above.
type Message struct {
	Text   string
	Binary []byte // nil for text
}

// opened is the data of the open packet.
type opened struct{ SID string }

func (s *Server) connect(o *Options) (t transport, sid string, err error) {
	path := o.Path
	if path == "" {
		path = "/socket.io/"
	}
	query := "EIO=4&transport="
	if o.Polling {
		p := &polling{client: s.Client(), url: s.URL(path) + "?" + query + "polling", header: o.Header}
		if o.Query != "" {
			p.url += "&" + o.Query
		}
		t = p
	} else if t, err = s.connectWebSocket(path+"?"+query+"websocket&"+o.Query, o.Header); err != nil {
		return nil, "", err
	}
	messages, err := t.read()
	if err != nil {
		return nil, "", err
	}
	var open opened
	if len(messages) == 0 || !strings.HasPrefix(messages[0].Text, "0") {
		return nil, "", fmt.Errorf("the first packet is no open: %q", messages)
	}
	if err = json.Unmarshal([]byte(messages[0].Text[1:]), &open); err != nil {
		return nil, "", err
	}
	if p, ok := t.(*polling); ok {
		p.url += "&sid=" + url.QueryEscape(open.SID)
		p.first = messages[1:]
	}
	return t, open.SID, nil
}

func (s *Server) connectWebSocket(pathAndQuery string, header http.Header) (transport, error) {
	dialer := &websocket.Dialer{NetDialContext: s.dial, HandshakeTimeout: patience}
	conn, response, err := dialer.Dial("ws://"+s.address+pathAndQuery, header)
	if err != nil {
		if response != nil {
			return nil, fmt.Errorf("%w: %s", err, response.Status)
		}
		return nil, err
	}
	return &webSocket{conn}, nil
}

type webSocket struct{ conn *websocket.Conn }

func (w *webSocket) read() ([]Message, error) {
	kind, data, err := w.conn.ReadMessage()
	if err != nil {
		return nil, err
	}
	if kind == websocket.BinaryMessage {
		return []Message{{Binary: data}}, nil
	}
	return []Message{{Text: string(data)}}, nil
}

func (w *webSocket) write(m Message) error {
	if m.Binary != nil {
		return w.conn.WriteMessage(websocket.BinaryMessage, m.Binary)
	}
	return w.conn.WriteMessage(websocket.TextMessage, []byte(m.Text))
}

func (w *webSocket) cut() { w.conn.Close() }

// polling reads with GET and writes with POST.
type polling struct {
	client *http.Client
	url    string
	header http.Header
	first  []Message // came with the open packet
}

var errGone = errors.New("the session is gone")

func (p *polling) read() ([]Message, error) {
	if first := p.first; len(first) > 0 {
		p.first = nil
		return first, nil
	}
	body, err := p.request(http.MethodGet, nil)
	if err != nil {
		return nil, err
	}
	var messages []Message
	for text := range strings.SplitSeq(string(body), "\x1e") {
		if encoded, binary := strings.CutPrefix(text, "b"); binary {
			data, err := base64.StdEncoding.DecodeString(encoded)
			if err != nil {
				return nil, err
			}
			messages = append(messages, Message{Binary: append([]byte{}, data...)})
			continue
		}
		messages = append(messages, Message{Text: text})
	}
	return messages, nil
}

func (p *polling) write(m Message) error {
	body := []byte(m.Text)
	if m.Binary != nil {
		body = base64.StdEncoding.AppendEncode([]byte{'b'}, m.Binary)
	}
	_, err := p.request(http.MethodPost, body)
	return err
}

func (p *polling) request(method string, body []byte) ([]byte, error) {
	r, err := http.NewRequest(method, p.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, values := range p.header {
		r.Header[name] = values
	}
	response, err := p.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%w: %s %s", errGone, response.Status, answer)
	}
	return answer, err
}

func (p *polling) cut() { p.client.CloseIdleConnections() }
