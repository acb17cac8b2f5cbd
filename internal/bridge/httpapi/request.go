// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/api/querystring"
	"github.com/spanwire/spanwire/internal/apijson"
)

// target is how a request chooses sockets. Lists that are there and empty are refused: a program
// that has lost its list should not reach everyone.
type target struct {
	Namespace string    `json:"namespace"`
	Pattern   bool      `json:"pattern"`
	Rooms     *[]string `json:"rooms"`
	Except    []string  `json:"except"`
	Local     bool      `json:"local"`
}

func (t *target) message() (*spanwirev1.Target, error) {
	m := &spanwirev1.Target{Namespace: t.Namespace, Pattern: t.Pattern, Except: t.Except, Local: t.Local}
	if t.Rooms != nil {
		if len(*t.Rooms) == 0 {
			return nil, invalid(`"rooms" is an empty list; leave it out to mean every socket of the namespace`)
		}
		m.Rooms = *t.Rooms
	}
	return m, nil
}

// keyed is what makes a request safe to repeat.
type keyed struct {
	IdempotencyKey string `json:"idempotency_key"`
}

// event is what is sent.
type event struct {
	Event *string         `json:"event"`
	Args  json.RawMessage `json:"args"`
}

func (e *event) message() (*spanwirev1.Event, error) {
	if e.Event == nil {
		return nil, invalid(`"event" is missing: the event's name`)
	}
	args, attachments, err := apijson.Unpack(e.Args)
	if err != nil {
		return nil, invalid(fmt.Sprintf(`"args" %v`, err))
	}
	return &spanwirev1.Event{Name: *e.Event, Args: args, Attachments: attachments}, nil
}

// patience bounds a wait.
type patience struct {
	TimeoutMS uint32 `json:"timeout_ms"`
}

func invalid(message string) error { return &failure{http.StatusBadRequest, "INVALID", message} }

// read takes the request's fields: those of the body, or those of the query when it is a GET.
func (c *call) read(into any) error {
	if c.r.Method == http.MethodGet {
		return c.readQuery(into)
	}
	if len(c.r.URL.RawQuery) > 0 {
		return invalid("a POST has its fields in the body, not in the query")
	}
	if kind, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return &failure{http.StatusUnsupportedMediaType, "MEDIA_TYPE", "the header Content-Type must be application/json"}
	}
	// An API that cannot bound the reading (a test's) does without.
	control := http.NewResponseController(c.w)
	_ = control.SetReadDeadline(time.Now().Add(c.BodyTimeout))
	body, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, int64(c.MaxBody)))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return &failure{http.StatusRequestEntityTooLarge, "TOO_LARGE", fmt.Sprintf("the body has more than %d bytes (setting max-call-body)", c.MaxBody)}
	case err != nil:
		return &failure{http.StatusRequestTimeout, "TIMEOUT", "the body did not come in time (setting body-timeout)"}
	}
	_ = control.SetReadDeadline(time.Time{}) // a call may wait for longer
	return readBody(body, into)
}

// readBody takes one JSON object. Names that are not known are refused by name: a mistyped "rooms"
// would reach everyone.
func readBody(body []byte, into any) error {
	members := map[string]json.RawMessage{}
	if err := json.Unmarshal(body, &members); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return invalid(fmt.Sprintf("the body is not well-formed JSON: %v, at byte %d", err, syntax.Offset))
		}
		return invalid("the body must be one JSON object")
	}
	known := fieldsOf(into)
	for name := range members {
		if _, ok := known[name]; !ok {
			return unknown("field", name, known)
		}
	}
	for name, value := range members {
		if err := json.Unmarshal(value, known[name].Addr().Interface()); err != nil {
			return invalid(fmt.Sprintf("field %q must be %s", name, kindOf(known[name].Type())))
		}
	}
	return nil
}

// readQuery takes the parameters as the fields of the same names.
func (c *call) readQuery(into any) error {
	known := fieldsOf(into)
	query := querystring.Parse(c.r.URL.RawQuery)
	for name := range query {
		if _, ok := known[name]; !ok {
			return unknown("parameter", name, known)
		}
	}
	for name, values := range query {
		if err := setField(known[name], values); err != nil {
			return invalid(fmt.Sprintf("parameter %q must be %s", name, kindOf(known[name].Type())))
		}
	}
	return nil
}

func setField(v reflect.Value, values []string) error {
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	if v.Kind() == reflect.Slice {
		v.Set(reflect.ValueOf(slices.Clone(values)))
		return nil
	}
	if len(values) != 1 {
		return errors.New("it stands twice")
	}
	switch v.Kind() { //nolint:exhaustive // the kinds of the fields below
	case reflect.Bool:
		b, err := strconv.ParseBool(values[0])
		v.SetBool(b)
		return err
	case reflect.Uint32:
		n, err := strconv.ParseUint(values[0], 10, 32)
		v.SetUint(n)
		return err
	}
	v.SetString(values[0])
	return nil
}

// fieldsOf gives the fields of a request by their names in JSON, those of embedded structs among
// them.
func fieldsOf(into any) map[string]reflect.Value {
	all := make(map[string]reflect.Value)
	var add func(v reflect.Value)
	add = func(v reflect.Value) {
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.Anonymous {
				add(v.Field(i))
			} else {
				all[f.Tag.Get("json")] = v.Field(i)
			}
		}
	}
	add(reflect.ValueOf(into).Elem())
	return all
}

func unknown(what, name string, known map[string]reflect.Value) error {
	names := make([]string, 0, len(known))
	for n := range known {
		names = append(names, n)
	}
	slices.Sort(names)
	return invalid(fmt.Sprintf("%s %q is not known; there are %s", what, name, strings.Join(names, ", ")))
}

// kindOf says what a field holds.
func kindOf(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() { //nolint:exhaustive // the kinds of the fields
	case reflect.Bool:
		return "true or false"
	case reflect.Uint32, reflect.Uint64:
		return "a whole number that is not negative"
	case reflect.Slice:
		return "a list of texts"
	}
	return "a text"
}
