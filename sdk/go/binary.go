// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"bytes"
	"crypto/rand"
	"encoding"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"reflect"
	"sync"
)

// Bytes in structs, maps and slices become attachments, but encoding/json has no hook with which a
// []byte could write a numbered placeholder. The encoder therefore copies the value with a mark in
// place of each []byte: 18 random bytes, which no client can guess, and the number. It then
// replaces the marks in the JSON by placeholders. A value without bytes costs one look-up of its
// type.

const (
	maxDepth   = 100
	markRandom = 18 // a multiple of 3, so that its base64 is a prefix of the whole mark's
	markSize   = markRandom + 6
)

var (
	bytesType         = reflect.TypeFor[[]byte]()
	jsonMarshalerType = reflect.TypeFor[json.Marshaler]()
	textMarshalerType = reflect.TypeFor[encoding.TextMarshaler]()
)

type bytesIn uint8

const (
	bytesNever bytesIn = iota + 1
	bytesMaybe
)

// typesWithBytes caches for each type whether its values can hold bytes. An answer never changes.
var typesWithBytes sync.Map // reflect.Type -> bytesIn

func mayHoldBytes(t reflect.Type) bool {
	if known, ok := typesWithBytes.Load(t); ok {
		return known.(bytesIn) == bytesMaybe
	}
	answer := bytesNever
	if searchType(t, map[reflect.Type]bool{}) {
		answer = bytesMaybe
	}
	typesWithBytes.Store(t, answer)
	return answer == bytesMaybe
}

func searchType(t reflect.Type, seen map[reflect.Type]bool) bool {
	if t == bytesType {
		return true
	}
	if seen[t] || opaque(t) {
		return false
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Interface:
		return true
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		return searchType(t.Elem(), seen)
	case reflect.Struct:
		for i := range t.NumField() {
			if f := t.Field(i); f.IsExported() && searchType(f.Type, seen) {
				return true
			}
		}
	}
	return false
}

// opaque reports whether the type writes its own JSON.
func opaque(t reflect.Type) bool {
	if t.Implements(jsonMarshalerType) || t.Implements(textMarshalerType) {
		return true
	}
	p := reflect.PointerTo(t)
	return t.Kind() != reflect.Interface && (p.Implements(jsonMarshalerType) || p.Implements(textMarshalerType))
}

// holdsBytes reports whether the value holds bytes, which become attachments.
func holdsBytes(v reflect.Value, depth int) bool {
	if !v.IsValid() || depth > maxDepth || !mayHoldBytes(v.Type()) {
		return false
	}
	if v.Type() == bytesType {
		return !v.IsNil()
	}
	switch v.Kind() {
	case reflect.Interface, reflect.Pointer:
		return !v.IsNil() && holdsBytes(v.Elem(), depth+1)
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if holdsBytes(v.Index(i), depth+1) {
				return true
			}
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			if holdsBytes(it.Value(), depth+1) {
				return true
			}
		}
	case reflect.Struct:
		return fieldsHoldBytes(v, depth+1)
	}
	return false
}

func fieldsHoldBytes(v reflect.Value, depth int) bool {
	for i := range v.NumField() {
		if v.Type().Field(i).IsExported() && holdsBytes(v.Field(i), depth) {
			return true
		}
	}
	return false
}

// marker copies values with marks in place of bytes.
type marker struct {
	random [markRandom]byte
	found  [][]byte
}

func (p *payload) withBytes(v reflect.Value) error {
	var m marker
	_, _ = rand.Read(m.random[:]) // never fails: crypto/rand ends the program instead
	text, err := json.Marshal(m.copy(v, 0).Interface())
	if err != nil {
		return err
	}
	p.replaceMarks(text, &m)
	return nil
}

func (m *marker) copy(v reflect.Value, depth int) reflect.Value {
	if !holdsBytes(v, depth) {
		return v
	}
	if v.Type() == bytesType {
		mark := make([]byte, 0, markSize)
		mark = append(mark, m.random[:]...)
		mark = append(mark, 0, 0)
		mark = binary.BigEndian.AppendUint32(mark, uint32(len(m.found)))
		m.found = append(m.found, v.Bytes())
		return reflect.ValueOf(mark)
	}
	c := reflect.New(v.Type()).Elem()
	switch v.Kind() {
	case reflect.Interface:
		c.Set(m.copy(v.Elem(), depth+1))
	case reflect.Pointer:
		c.Set(reflect.New(v.Type().Elem()))
		c.Elem().Set(m.copy(v.Elem(), depth+1))
	case reflect.Slice:
		c.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
		fallthrough
	case reflect.Array:
		for i := range v.Len() {
			c.Index(i).Set(m.copy(v.Index(i), depth+1))
		}
	case reflect.Map:
		c.Set(reflect.MakeMapWithSize(v.Type(), v.Len()))
		for it := v.MapRange(); it.Next(); {
			c.SetMapIndex(it.Key(), m.copy(it.Value(), depth+1))
		}
	case reflect.Struct:
		c.Set(v)
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				c.Field(i).Set(m.copy(v.Field(i), depth+1))
			}
		}
	}
	return c
}

// replaceMarks writes text with a placeholder for each mark. Placeholders are numbered in the order
// of the text.
func (p *payload) replaceMarks(text []byte, m *marker) {
	prefix := append([]byte{'"'}, base64.StdEncoding.EncodeToString(m.random[:])...)
	width := base64.StdEncoding.EncodedLen(markSize)
	for {
		at := bytes.Index(text, prefix)
		if at < 0 {
			p.args.Write(text)
			return
		}
		var mark [markSize]byte
		_, _ = base64.StdEncoding.Decode(mark[:], text[at+1:at+1+width])
		p.args.Write(text[:at])
		p.attach(m.found[binary.BigEndian.Uint32(mark[markSize-4:])])
		text = text[at+1+width+1:]
	}
}
