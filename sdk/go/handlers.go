// SPDX-License-Identifier: Apache-2.0

package spanwire

import "maps"

// handlers holds the handlers of a namespace.
type handlers struct {
	events, messages               map[string]*handler
	any, connect, disconnect, room *handler
}

func newHandlers() handlers {
	return handlers{events: map[string]*handler{}, messages: map[string]*handler{}}
}

// inUse reports whether the handler exists and is not removed.
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

// with returns these handlers, completed by those of other.
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

// retire marks the handler as removed by the declaration. It reports whether there was one.
func retire(h *handler, declaration uint64) bool {
	if !inUse(h) {
		return false
	}
	h.off = declaration
	return true
}

// forget deletes the handlers that a declaration removed which all brokers have accepted.
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
