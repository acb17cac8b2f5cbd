// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"time"
)

// A declaration ties a setting to a field: its name, the field, its default, its meaning, and
// checks of its value. There is one function for each way in which values are written.

// rule checks a value. Its error says what to change; several may be joined.
type rule[T any] = func(v T) error

// Duration declares a time.
func Duration(name string, p *time.Duration, def time.Duration, doc string, rules ...rule[time.Duration]) Setting {
	s := declare(name, p, def, doc, (*durationValue)(p), rules)
	s.unset = func() bool { return *p == 0 }
	return s
}

// Size declares a number of bytes.
func Size[T ~int | ~int64](name string, p *T, def T, doc string, rules ...rule[int64]) Setting {
	s := declare(name, p, def, doc, sizeValue[T]{p}, converted[T](rules))
	s.unset = func() bool { return *p == 0 }
	return s
}

// Number declares a number of anything else.
func Number[T ~int | ~int64](name string, p *T, def T, doc string, rules ...rule[int64]) Setting {
	s := declare(name, p, def, doc, numberValue[T]{p}, converted[T](rules))
	s.unset = func() bool { return *p == 0 }
	return s
}

// Toggle declares a switch.
func Toggle(name string, p *bool, def bool, doc string, rules ...rule[bool]) Setting {
	return declare(name, p, def, doc, (*toggleValue)(p), rules)
}

// Text declares a text.
func Text(name string, p *string, def, doc string, rules ...rule[string]) Setting {
	s := declare(name, p, def, doc, (*textValue)(p), rules)
	s.unset = func() bool { return *p == "" }
	return s
}

// List declares a list of texts.
func List[E ~string](name string, p *[]E, def []E, doc string, rules ...rule[[]E]) Setting {
	s := declare(name, p, def, doc, listValue[E]{p}, rules)
	s.unset = func() bool { return *p == nil }
	return s
}

// Named is one of the values of a Choice, with how it is written.
type Named[T comparable] struct {
	Name  string
	Value T
}

// Choice declares a text that stands for one of some values.
func Choice[T comparable](name string, p *T, def T, doc string, of []Named[T], rules ...rule[T]) Setting {
	v := &choiceValue[T]{p: p, of: of}
	return declare(name, p, def, doc, v, append([]rule[T]{func(T) error { return v.fault() }}, rules...))
}

// OffAtZero makes a number or a size negative when 0 is written, for options whose zero stands for
// their default.
func OffAtZero[T ~int | ~int64](s Setting, p *T) Setting {
	s.value = offAtZero{s.value, func() int64 { return int64(*p) }, func() { *p = -1 }}
	return s
}

// ZeroIsValue keeps Complete from replacing zero.
func (s Setting) ZeroIsValue() Setting {
	s.unset = nil
	return s
}

// Secret lets a file hold the value.
func (s Setting) Secret() Setting {
	s.file = new(string)
	return s
}

func declare[T any](name string, p *T, def T, doc string, v value, rules []rule[T]) Setting {
	s := Setting{Name: name, Doc: doc, value: v, target: p, preset: func() { *p = def }}
	if len(rules) > 0 {
		s.check = func() error {
			all := make([]error, len(rules))
			for i, r := range rules {
				all[i] = r(*p)
			}
			return errors.Join(all...)
		}
	}
	return s
}

func converted[T ~int | ~int64](rules []rule[int64]) []rule[T] {
	all := make([]rule[T], len(rules))
	for i, r := range rules {
		all[i] = func(v T) error { return r(int64(v)) }
	}
	return all
}
