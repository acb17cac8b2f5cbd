// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"
)

type picture struct {
	Name  string            `json:"name"`
	Data  []byte            `json:"data,omitempty"`
	Parts map[string][]byte `json:"parts,omitempty"`
	Any   any               `json:"any,omitempty"`
	Next  *picture          `json:"next,omitempty"`
	Skip  []byte            `json:"-"`
	inner []byte
}

// Arguments are encoded as encoding/json does, except that bytes become attachments, numbered in
// the order of the text.
func TestPayload_encode(t *testing.T) {
	ph := func(n int) string { return fmt.Sprintf(`{"_placeholder":true,"num":%d}`, n) }
	for _, c := range []struct {
		args  []any
		want  string
		bytes string
	}{
		{nil, ``, ``},
		{[]any{}, ``, ``},
		{[]any{nil, true, -3, "a", 1.5, uint8(7)}, `[null,true,-3,"a",1.5,7]`, ``},
		{[]any{"quote\" <b> é\n"}, `["quote\" <b> é\n"]`, ``},
		{[]any{map[string]any{"b": 1, "a": "x"}}, `[{"a":"x","b":1}]`, ``},
		{[]any{json.RawMessage(`{"z":1, "a":2}`), json.RawMessage(nil)}, `[{"z":1, "a":2},null]`, ``},
		{[]any{[]byte("one"), 5, []byte("two")}, `[` + ph(0) + `,5,` + ph(1) + `]`, `one two`},
		{[]any{[]byte{}, []byte(nil)}, `[` + ph(0) + `,` + ph(1) + `]`, ` `},
		{[]any{picture{Name: "n", inner: []byte("x")}}, `[{"name":"n"}]`, ``},
		{[]any{picture{Name: "n", Data: []byte("d"), Skip: []byte("s")}}, `[{"name":"n","data":` + ph(0) + `}]`, `d`},
		{[]any{&picture{Parts: map[string][]byte{"p": []byte("1"), "q": []byte("2")}, Next: &picture{Data: []byte("3")}}},
			`[{"name":"","parts":{"p":` + ph(0) + `,"q":` + ph(1) + `},"next":{"name":"","data":` + ph(2) + `}}]`, `1 2 3`},
		{[]any{map[string]any{"list": []any{[]byte("a"), "b", []byte("c")}}}, `[{"list":[` + ph(0) + `,"b",` + ph(1) + `]}]`, `a c`},
		{[]any{[2][]byte{[]byte("a"), nil}}, `[[` + ph(0) + `,null]]`, `a`},
		{[]any{time.Unix(0, 0).UTC(), picture{Any: json.RawMessage("1")}}, `["1970-01-01T00:00:00Z",{"name":"","any":1}]`, ``},
	} {
		p := newPayload()
		if err := p.encode(c.args); err != nil {
			t.Errorf("%v: %v", c.args, err)
		}
		if got := p.args.String(); got != c.want {
			t.Errorf("%v: got %s, want %s", c.args, got, c.want)
		}
		if got := string(bytes.Join(p.attachments, []byte(" "))); got != c.bytes {
			t.Errorf("%v: attachments %q, want %q", c.args, got, c.bytes)
		}
		p.release()
	}
	loop := map[string]any{}
	loop["loop"] = loop
	for _, bad := range []any{make(chan int), json.RawMessage("{"), loop, map[string]any{"b": []byte("b"), "c": make(chan int)}} {
		p := newPayload()
		var e *EncodeError
		if err := p.encode([]any{1, bad}); !errors.As(err, &e) || e.Index != 1 {
			t.Errorf("%T: err = %v", bad, err)
		}
		p.release()
	}
}

// The caller's value is not changed by what is done to send it.
func TestPayload_encode_copies(t *testing.T) {
	in := map[string]any{"p": &picture{Data: []byte("d"), Parts: map[string][]byte{"x": []byte("y")}}}
	p := newPayload()
	defer p.release()
	if err := p.encode([]any{in}); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"p": &picture{Data: []byte("d"), Parts: map[string][]byte{"x": []byte("y")}}}
	if !reflect.DeepEqual(in, want) {
		t.Errorf("the value became %v", in)
	}
}

// Arguments are decoded into what the handler wants, with attachments in their places.
func TestEvent_Bind(t *testing.T) {
	e := &Event{
		args: []byte(` [ {"name":"n,[","data":{"_placeholder":true,"num":1},"parts":{"p":{"num":0,"_placeholder":true}}} ,` +
			`{"_placeholder":true,"num":0}, "a\\\"]" ,[1,[2]], null ] `),
		attachments: [][]byte{[]byte("zero"), []byte("one")},
	}
	var (
		pic  picture
		data []byte
		text string
		raw  json.RawMessage
		none *int
	)
	if err := e.Bind(&pic, &data, &text, &raw, &none); err != nil {
		t.Fatal(err)
	}
	if pic.Name != "n,[" || string(pic.Data) != "one" || string(pic.Parts["p"]) != "zero" || string(data) != "zero" ||
		text != `a\"]` || string(raw) != "[1,[2]]" || none != nil {
		t.Errorf("got %+v %q %q %s", pic, data, text, raw)
	}
	var tree map[string]any
	var value any
	if err := e.Bind(&tree, &value); err != nil {
		t.Fatal(err)
	}
	if string(tree["data"].([]byte)) != "one" || string(value.([]byte)) != "zero" {
		t.Errorf("got %v %v", tree, value)
	}
	if n := len(e.Args()); n != 5 {
		t.Errorf("%d arguments", n)
	}
	var list []any
	var number int
	for i, targets := range [][]any{{&list}, {&pic, &number}, {&pic, &data, &data}, {&pic, &data, &text, &raw, &none, &number}} {
		var bad *BindError
		if err := e.Bind(targets...); !errors.As(err, &bad) || bad.Index != len(targets)-1 {
			t.Errorf("%d: err = %v", i, err)
		}
	}
	lost := &Event{args: []byte(`[{"a":{"_placeholder":true,"num":3}}]`), attachments: [][]byte{nil}}
	for _, target := range []any{&pic, &tree, &value} {
		if err := lost.Bind(target); !errors.Is(err, errNoAttachment) {
			t.Errorf("%T: err = %v", target, err)
		}
	}
	if err := (&Event{}).Bind(); err != nil || string((&Event{}).Raw()) != "[]" || len((&Event{args: []byte("[ ]")}).Args()) != 0 {
		t.Errorf("an empty event: %v", err)
	}
	if err := (&Event{args: []byte(`["\ud800"]`)}).Bind(&text); err != nil {
		t.Errorf("a lone surrogate: %v", err)
	}
}

// The splitter agrees with encoding/json on everything that is well-formed.
func FuzzSplitArray(f *testing.F) {
	for _, seed := range []string{`[]`, `[1]`, ` [ "a,b" , {"x":[1,2,{"y":"]"}]} ] `, `["\\\"",[],{}]`, `[null,"\\"]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var want []json.RawMessage
		if err := json.Unmarshal(data, &want); err != nil || want == nil {
			_, _ = splitArray(data) // must not panic
			_, _ = inlineAttachments(data, nil)
			return
		}
		got, err := splitArray(data)
		if err != nil || len(got) != len(want) {
			t.Fatalf("%s: %d elements, want %d (%v)", data, len(got), len(want), err)
		}
		for i := range got {
			if !bytes.Equal(got[i], want[i]) {
				t.Errorf("%s: element %d is %s, want %s", data, i, got[i], want[i])
			}
		}
	})
}
