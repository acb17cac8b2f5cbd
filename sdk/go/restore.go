// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"encoding/base64"
	"reflect"
	"strings"
)

// Attachments that are decoded into types of the handler's own are written as base64 first, which
// is what encoding/json makes bytes of. Where the type leaves the choice, in fields of type any, a
// string would come out. So the base64 is marked, with line ends, which decoding skips, and marked
// strings are made bytes afterwards.
const (
	mark        = "\r\n\r\r\n\n"
	markEscaped = `\r\n\r\r\n\n`
)

// restore makes bytes of the marked strings below v where its type allows it, and removes the mark
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
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				restore(v.Field(i))
			}
		}
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() != reflect.Uint8 {
			for i := range v.Len() {
				restore(v.Index(i))
			}
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			value := reflect.New(v.Type().Elem()).Elem()
			value.Set(v.MapIndex(key))
			restore(value)
			v.SetMapIndex(key, value)
		}
	case reflect.String:
		if rest, marked := strings.CutPrefix(v.String(), mark); marked && v.CanSet() {
			v.SetString(rest)
		}
	}
}

// restored is the value of an interface with bytes for marked strings.
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
