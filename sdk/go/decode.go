// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
)

var (
	errNoArgument    = errors.New("no such argument")
	errNotArray      = errors.New("the arguments are not a JSON array")
	errNotAttachment = errors.New("the argument is not binary")
	errNoAttachment  = errors.New("a placeholder names an attachment that is missing")
)

// splitArray cuts a well-formed JSON array into its elements, without a copy.
func splitArray(data []byte) ([]json.RawMessage, error) {
	data = bytes.TrimSpace(data)
	if len(data) == 0 {
		return nil, nil
	}
	if len(data) < 2 || data[0] != '[' || data[len(data)-1] != ']' {
		return nil, errNotArray
	}
	data = bytes.TrimSpace(data[1 : len(data)-1])
	if len(data) == 0 {
		return nil, nil
	}
	elements := make([]json.RawMessage, 0, 2)
	for {
		end := elementEnd(data)
		elements = append(elements, bytes.TrimSpace(data[:end:end]))
		if end == len(data) {
			return elements, nil
		}
		data = data[end+1:]
	}
}

// elementEnd returns the length of the first element: up to the comma after it, or to the end.
func elementEnd(data []byte) int {
	depth := 0
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '"':
			for i++; i < len(data) && data[i] != '"'; i++ {
				if data[i] == '\\' {
					i++
				}
			}
		case '[', '{':
			depth++
		case ']', '}':
			depth--
		case ',':
			if depth == 0 {
				return i
			}
		}
	}
	return len(data)
}

// bind decodes arguments into targets, in order.
func bind(args []byte, attachments [][]byte, targets []any) error {
	elements, err := splitArray(args)
	if err != nil {
		return err
	}
	for i, target := range targets {
		if i >= len(elements) {
			return &BindError{Index: i, Err: errNoArgument}
		}
		if err := bindOne(elements[i], attachments, target); err != nil {
			return &BindError{Index: i, Err: err}
		}
	}
	return nil
}

func bindOne(element json.RawMessage, attachments [][]byte, target any) error {
	if raw, ok := target.(*json.RawMessage); ok {
		*raw = element
		return nil
	}
	if data, ok := target.(*[]byte); ok {
		return bindBytes(element, attachments, data)
	}
	if len(attachments) == 0 {
		return json.Unmarshal(element, target)
	}
	switch target.(type) {
	case *any, *map[string]any, *[]any:
		return bindTree(element, attachments, target)
	}
	// encoding/json reads bytes from base64.
	text, err := inlineAttachments(element, attachments)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, target); err != nil {
		return err
	}
	restore(reflect.ValueOf(target))
	return nil
}

// placeholder represents an attachment in JSON.
type placeholder struct {
	Placeholder bool `json:"_placeholder"`
	Num         *int `json:"num"`
}

func bindBytes(element json.RawMessage, attachments [][]byte, data *[]byte) error {
	if string(element) == "null" {
		*data = nil
		return nil
	}
	var p placeholder
	if err := json.Unmarshal(element, &p); err != nil || !p.Placeholder || p.Num == nil {
		return errNotAttachment
	}
	if *p.Num < 0 || *p.Num >= len(attachments) {
		return errNoAttachment
	}
	*data = attachments[*p.Num]
	return nil
}

// bindTree decodes into a target of no concrete type and inserts the attachments.
func bindTree(element json.RawMessage, attachments [][]byte, target any) (err error) {
	var tree any
	if err := json.Unmarshal(element, &tree); err != nil {
		return err
	}
	if tree, err = substitute(tree, attachments); err != nil {
		return err
	}
	switch t := target.(type) {
	case *any:
		*t = tree
		return nil
	case *map[string]any:
		if m, ok := tree.(map[string]any); ok || tree == nil {
			*t = m
			return nil
		}
	case *[]any:
		if list, ok := tree.([]any); ok || tree == nil {
			*t = list
			return nil
		}
	}
	return fmt.Errorf("cannot decode %T into %T", tree, target)
}

func substitute(tree any, attachments [][]byte) (any, error) {
	var err error
	switch v := tree.(type) {
	case []any:
		for i := range v {
			if v[i], err = substitute(v[i], attachments); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		if v["_placeholder"] == true {
			num, ok := v["num"].(float64)
			if !ok || num < 0 || num != float64(int(num)) || int(num) >= len(attachments) {
				return nil, errNoAttachment
			}
			return attachments[int(num)], nil
		}
		for key := range v {
			if v[key], err = substitute(v[key], attachments); err != nil {
				return nil, err
			}
		}
	}
	return tree, nil
}

// inlineAttachments returns the element with a base64 string in place of each placeholder.
func inlineAttachments(element []byte, attachments [][]byte) ([]byte, error) {
	var out []byte
	from := 0
	for i := 0; i < len(element); i++ {
		switch element[i] {
		case '"':
			for i++; i < len(element) && element[i] != '"'; i++ {
				if element[i] == '\\' {
					i++
				}
			}
		case '{':
			size := objectSize(element[i:])
			var p placeholder
			if size > 60 || !bytes.Contains(element[i:i+size], []byte(`"_placeholder"`)) ||
				json.Unmarshal(element[i:i+size], &p) != nil || !p.Placeholder || p.Num == nil {
				continue
			}
			if *p.Num < 0 || *p.Num >= len(attachments) {
				return nil, errNoAttachment
			}
			out = append(append(out, element[from:i]...), '"')
			out = append(out, markEscaped...)
			out = append(base64.StdEncoding.AppendEncode(out, attachments[*p.Num]), '"')
			i += size - 1
			from = i + 1
		}
	}
	return append(out, element[from:]...), nil
}

// objectSize returns the length of the flat object at the start of data, and a number above the
// length of data when the object is not flat.
func objectSize(data []byte) int {
	for i := 1; i < len(data) && i < 64; i++ {
		switch data[i] {
		case '}':
			return i + 1
		case '{', '[':
			return 1 << 30
		}
	}
	return 1 << 30
}
