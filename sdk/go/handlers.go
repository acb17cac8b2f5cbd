// SPDX-License-Identifier: Apache-2.0

package spanwire

import "maps"

// handlers is what is called for what happens in a namespace.
type handlers struct {
	events, messages               map[string]*handler
	any, connect, disconnect, room *handler
}

func newHandlers() handlers {
	return handlers{events: map[string]*handler{}, messages: map[string]*handler{}}
}

// inUse tells whether the handler is there and wanted.
func inUse(h *handler) bool { return h != nil && h.off == 0 }

func namesInUse(list map[string]*handler) (names []string) {
	for _, name := range sortedKeys(list) {
		if inUse(list[name]) {
			names = append(names, name)
		}
	}
	return names
}

func (hs *handlers) single() [4]**handler {
	return [...]**handler{&hs.any, &hs.connect, &hs.disconnect, &hs.room}
}

func (hs *handlers) empty() bool {
	return len(hs.events)+len(hs.messages) == 0 && hs.any == nil && hs.connect == nil && hs.disconnect == nil && hs.room == nil
}

// with gives these handlers and the other's where there is none.
func (hs handlers) with(other *handlers) handlers {
	events, messages := maps.Clone(other.events), maps.Clone(other.messages)
	maps.Copy(events, hs.events)
	maps.Copy(messages, hs.messages)
	hs.events, hs.messages = events, messages
	for i, place := range hs.single() {
		if *place == nil {
			*place = *other.single()[i]
		}
	}
	return hs
}

// retire marks the handler as not wanted from the declaration on. It tells whether there was one.
func retire(h *handler, declaration uint64) bool {
	if !inUse(h) {
		return false
	}
	h.off = declaration
	return true
}

// forget takes out the handlers that are not wanted since a declaration that all brokers have
// taken.
func (hs *handlers) forget(taken uint64) {
	gone := func(h *handler) bool { return h != nil && h.off != 0 && h.off <= taken }
	for _, list := range [...]map[string]*handler{hs.events, hs.messages} {
		maps.DeleteFunc(list, func(_ string, h *handler) bool { return gone(h) })
	}
	for _, place := range hs.single() {
		if gone(*place) {
			*place = nil
		}
	}
}
