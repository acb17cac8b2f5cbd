// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"errors"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
)

// messages are those of the contract that the numbers belong to, by the first word of their names.
var messages = map[string][]protoreflect.ProtoMessage{
	"Frame":        {&spanwirev1.AttachRequest{}, &spanwirev1.AttachResponse{}},
	"FrameAck":     {&spanwirev1.FrameAck{}},
	"Drain":        {&spanwirev1.Drain{}},
	"Batch":        {&spanwirev1.DispatchBatch{}, &spanwirev1.ActionBatch{}},
	"Dispatch":     {&spanwirev1.Dispatch{}},
	"Event":        {&spanwirev1.Event{}},
	"Connect":      {&spanwirev1.Connect{}},
	"RoomEvent":    {&spanwirev1.RoomEvent{}},
	"Message":      {&spanwirev1.Message{}},
	"Disconnected": {&spanwirev1.Disconnected{}},
	"Action":       {&spanwirev1.Action{}},
	"Result":       {&spanwirev1.Result{}},
	"Ack":          {&spanwirev1.Ack{}},
	"Refusal":      {&spanwirev1.Refusal{}},
	"Failure":      {&spanwirev1.Failure{}},
	"Command":      {&spanwirev1.Command{}, &spanwirev1.Emit{}, &spanwirev1.Join{}, &spanwirev1.Leave{}, &spanwirev1.Disconnect{}},
	"Emit":         {&spanwirev1.Emit{}},
	"Join":         {&spanwirev1.Join{}, &spanwirev1.Leave{}},
	"Disconnect":   {&spanwirev1.Disconnect{}},
	"Target":       {&spanwirev1.Target{}},
}

// fields names those of the contract that go by another name here.
var fields = map[string]string{
	"FrameAck": "frameack", "BatchItems": "dispatches", "EmitAckTimeout": "acktimeoutms",
}

// Each number is that of the field that its name says.
func TestNumbers(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "numbers.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	ast.Inspect(file, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		name := v.Names[0].Name
		literal := v.Values[0].(*ast.BasicLit)
		number, _ := constant.Int64Val(constant.MakeFromLiteral(literal.Value, token.INT, 0))
		if !says(name, number) {
			t.Errorf("%s = %d is no field of the contract", name, number)
		}
		checked++
		return true
	})
	if checked < 60 {
		t.Errorf("%d numbers were checked", checked)
	}
}

func says(name string, number int64) bool {
	for first, list := range messages {
		field, ok := strings.CutPrefix(name, first)
		if !ok {
			continue
		}
		field = strings.ToLower(field)
		if other := fields[name]; other != "" {
			field = other
		}
		for _, m := range list {
			f := m.ProtoReflect().Descriptor().Fields().ByNumber(protoreflect.FieldNumber(number))
			if f != nil && strings.ReplaceAll(string(f.Name()), "_", "") == field {
				return true
			}
		}
	}
	return false
}

func TestEach(t *testing.T) {
	b := AppendNumber(nil, EmitVolatile, 300)
	b = AppendOptional(b, EventName, "")
	b = AppendOptional(b, EventName, "e")
	b = AppendBool(AppendBool(b, EmitWantAcks, false), EmitWantAcks, true)
	if want := 3 + BytesSize(1) + BoolSize + OptionalSize(0); len(b) != want {
		t.Errorf("%d bytes, want %d", len(b), want)
	}
	var keys []uint64
	visit := func(f Field) error {
		keys = append(keys, f.Key)
		switch f.Key {
		case EmitVolatile<<3 | Varint:
			if f.Number != 300 {
				t.Errorf("number %d", f.Number)
			}
		case EventName<<3 | Length:
			if string(f.Data) != "e" {
				t.Errorf("data %q", f.Data)
			}
		}
		return nil
	}
	if err := Each(b, visit); err != nil || len(keys) != 3 {
		t.Errorf("%v, fields %v", err, keys)
	}
	for n := range b {
		if _, _, err := Next(b[:n]); n > 0 && n < 3 && err == nil {
			t.Errorf("the first %d bytes are taken for a field", n)
		}
	}
	stop := errors.New("enough")
	if err := Each(b, func(Field) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("error %v", err)
	}
	if err := Each([]byte{0xff}, visit); err == nil {
		t.Error("a torn tag is taken")
	}
}
