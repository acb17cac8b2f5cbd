// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// value reads and writes one kind of setting. It is a flag.Value.
type value interface {
	String() string
	Set(s string) error
	kind() string
}

type (
	durationValue time.Duration
	toggleValue   bool
	textValue     string

	sizeValue[T ~int | ~int64]   struct{ p *T }
	numberValue[T ~int | ~int64] struct{ p *T }
	listValue[E ~string]         struct{ p *[]E }
)

func (v *durationValue) kind() string { return "duration" }

func (v *durationValue) String() string {
	if d := time.Duration(*v); d%time.Millisecond == 0 {
		return strconv.FormatInt(d.Milliseconds(), 10)
	}
	return time.Duration(*v).String()
}

// Set reads a number of milliseconds, or a number with a unit.
func (v *durationValue) Set(s string) error {
	if ms, err := strconv.ParseInt(s, 10, 64); err == nil {
		*v = durationValue(time.Duration(ms) * time.Millisecond)
		return nil
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return fmt.Errorf("%q is no duration; write milliseconds (25000) or a number with its unit (25s)", s)
	}
	*v = durationValue(d)
	return nil
}

func (v sizeValue[T]) kind() string   { return "size" }
func (v sizeValue[T]) String() string { return strconv.FormatInt(int64(*v.p), 10) }

// units of sizes, longest names first.
var units = []struct {
	name  string
	bytes int
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}}

// Set reads a number of bytes, or a number with a unit.
func (v sizeValue[T]) Set(s string) error {
	digits, factor := s, 1
	for _, u := range units {
		if rest, ok := strings.CutSuffix(s, u.name); ok {
			digits, factor = strings.TrimSpace(rest), u.bytes
			break
		}
	}
	n, err := strconv.Atoi(digits)
	if err != nil || n < 0 || n > (1<<40)/factor {
		return fmt.Errorf("%q is no size; write bytes (1000000) or a number with its unit (1MB, 64KiB)", s)
	}
	*v.p = T(n * factor)
	return nil
}

func (v numberValue[T]) kind() string   { return "number" }
func (v numberValue[T]) String() string { return strconv.FormatInt(int64(*v.p), 10) }

func (v numberValue[T]) Set(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil {
		return fmt.Errorf("%q is no whole number", s)
	}
	*v.p = T(n)
	return nil
}

func (v *toggleValue) kind() string   { return "switch" }
func (v *toggleValue) String() string { return strconv.FormatBool(bool(*v)) }

// IsBoolFlag lets the flag stand without a value.
func (v *toggleValue) IsBoolFlag() bool { return true }

func (v *toggleValue) Set(s string) error {
	b, err := strconv.ParseBool(s)
	if err != nil {
		return fmt.Errorf("%q is neither true nor false", s)
	}
	*v = toggleValue(b)
	return nil
}

func (v *textValue) kind() string       { return "text" }
func (v *textValue) String() string     { return string(*v) }
func (v *textValue) Set(s string) error { *v = textValue(s); return nil }

func (v listValue[E]) kind() string { return "list" }

func (v listValue[E]) String() string {
	items := make([]string, len(*v.p))
	for i, item := range *v.p {
		items[i] = string(item)
	}
	return strings.Join(items, ",")
}

// Set reads items with commas between.
func (v listValue[E]) Set(s string) error {
	*v.p = nil
	for item := range strings.SplitSeq(s, ",") {
		if item = strings.TrimSpace(item); item != "" {
			*v.p = append(*v.p, E(item))
		}
	}
	return nil
}

// choiceValue keeps what was written while it is none of the choices, for the check.
type choiceValue[T comparable] struct {
	p       *T
	of      []Named[T]
	unknown string
}

func (v *choiceValue[T]) kind() string { return "text" }

func (v *choiceValue[T]) String() string {
	for _, x := range v.of {
		if x.Value == *v.p {
			return x.Name
		}
	}
	return v.unknown
}

func (v *choiceValue[T]) Set(s string) error {
	i := slices.IndexFunc(v.of, func(x Named[T]) bool { return x.Name == s })
	if i < 0 {
		v.unknown = s
		return nil
	}
	*v.p, v.unknown = v.of[i].Value, ""
	return nil
}

func (v *choiceValue[T]) fault() error {
	if v.unknown == "" {
		return nil
	}
	names := make([]string, len(v.of))
	for i, x := range v.of {
		names[i] = x.Name
	}
	return OneOf(names...)(v.unknown)
}

// offAtZero keeps 0 as -1, for options whose zero stands for their default.
type offAtZero struct {
	value
	get func() int64
	off func() // sets -1
}

func (v offAtZero) String() string {
	if v.get() < 0 {
		return "0"
	}
	return v.value.String()
}

func (v offAtZero) Set(s string) error {
	if err := v.value.Set(s); err != nil {
		return err
	}
	n := v.get()
	if n == 0 {
		v.off()
	}
	return AtLeast(0)(n)
}

// ParseDuration reads a duration in the form of all settings, for flags that are none:
// milliseconds, or a number with its unit.
func ParseDuration(s string) (time.Duration, error) {
	var v durationValue
	err := v.Set(s)
	return time.Duration(v), err
}
