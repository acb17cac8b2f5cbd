// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
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
	sizeValue     int
	numberValue   int
	toggleValue   bool
	textValue     string
	listValue     []string
)

func duration(p *time.Duration) value { return (*durationValue)(p) }
func size(p *int) value               { return (*sizeValue)(p) }
func number(p *int) value             { return (*numberValue)(p) }
func toggle(p *bool) value            { return (*toggleValue)(p) }
func text(p *string) value            { return (*textValue)(p) }
func list(p *[]string) value          { return (*listValue)(p) }

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

func (v *sizeValue) kind() string   { return "size" }
func (v *sizeValue) String() string { return strconv.Itoa(int(*v)) }

// units of sizes, longest names first.
var units = []struct {
	name  string
	bytes int
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}}

// Set reads a number of bytes, or a number with a unit.
func (v *sizeValue) Set(s string) error {
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
	*v = sizeValue(n * factor)
	return nil
}

func (v *numberValue) kind() string   { return "number" }
func (v *numberValue) String() string { return strconv.Itoa(int(*v)) }

func (v *numberValue) Set(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil {
		return fmt.Errorf("%q is no whole number", s)
	}
	*v = numberValue(n)
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

func (v *listValue) kind() string   { return "list" }
func (v *listValue) String() string { return strings.Join(*v, ",") }

// Set reads items with commas between.
func (v *listValue) Set(s string) error {
	*v = nil
	for item := range strings.SplitSeq(s, ",") {
		if item = strings.TrimSpace(item); item != "" {
			*v = append(*v, item)
		}
	}
	return nil
}

// ParseDuration reads a duration in the form of all settings, for flags that are none:
// milliseconds, or a number with its unit.
func ParseDuration(s string) (time.Duration, error) {
	var v durationValue
	err := v.Set(s)
	return time.Duration(v), err
}
