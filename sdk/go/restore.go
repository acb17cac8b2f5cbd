// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"encoding/base64"
	"reflect"
	"strings"
)

// The decoder writes attachments as base64 first, which encoding/json decodes into fields of type
// []byte. Into a field of type any it would decode a string. The decoder therefore marks the base64
// with line ends, which base64 decoding skips, and turns marked strings into bytes afterwards.
const (
	mark        = "\r\n\r\r\n\n"
	markEscaped = `\r\n\r\r\n\n`
)

// restore turns the marked strings in v into bytes where its type allows it, and removes the mark
// elsewhere.
func restore(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			restore(v.Elem())
		}
	case reflect.Interface:
		if !v.IsNil() && v.CanSet() {
			v.Set(restored(v.Elem()))
		}
	case reflect.Struct:
		restoreFields(v)
	case reflect.Slice, reflect.Array:
		restoreElements(v)
	case reflect.Map:
		restoreValues(v)
	case reflect.String:
		if rest, marked := strings.CutPrefix(v.String(), mark); marked && v.CanSet() {
			v.SetString(rest)
		}
	}
}

func restoreFields(v reflect.Value) {
	for i := range v.NumField() {
		if v.Type().Field(i).IsExported() {
			restore(v.Field(i))
		}
	}
}

func restoreElements(v reflect.Value) {
	if v.Type().Elem().Kind() == reflect.Uint8 {
		return // bytes, not strings
	}
	for i := range v.Len() {
		restore(v.Index(i))
	}
}

func restoreValues(v reflect.Value) {
	for _, key := range v.MapKeys() {
		value := reflect.New(v.Type().Elem()).Elem()
		value.Set(v.MapIndex(key))
		restore(value)
		v.SetMapIndex(key, value)
	}
}

// restored returns the value of an interface, with bytes in place of marked strings.
func restored(v reflect.Value) reflect.Value {
	if v.Kind() == reflect.String {
		if rest, marked := strings.CutPrefix(v.String(), mark); marked {
			if data, err := base64.StdEncoding.DecodeString(rest); err == nil {
				return reflect.ValueOf(data)
			}
		}
		return v
	}
	inner := reflect.New(v.Type()).Elem()
	inner.Set(v)
	restore(inner)
	return inner
}
