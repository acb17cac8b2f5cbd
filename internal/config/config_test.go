// SPDX-License-Identifier: Apache-2.0

package config

import (
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// options are those of some package.
type options struct {
	wait   time.Duration
	rate   int
	bytes  int64
	words  []word
	site   int
	grace  time.Duration
	on     bool
	secret string
}

type word string

func (o *options) Settings() []Setting {
	return append(Group(Process,
		Duration("wait", &o.wait, time.Second, "How long.", Positive),
		OffAtZero(Number("rate", &o.rate, 10, "How many.", AtLeast(-1)), &o.rate),
		Size("bytes", &o.bytes, 1<<10, "How much.", AtLeast(8)),
		List("words", &o.words, []word{"a", "b"}, "Which.", Each[word](OneOf("a", "b", "c"))),
		Choice("site", &o.site, 2, "Where.", []Named[int]{{"none", 0}, {"here", 1}, {"there", 2}}, func(v int) error { return AtLeast(1)(int64(v)) }),
		Toggle("on", &o.on, true, "Whether."),
	), Group(Cluster,
		Duration("grace", &o.grace, time.Minute, "How long.", NotNegative("0 is none")).ZeroIsValue(),
		Text("secret", &o.secret, "", "What nobody knows.").Secret(),
	)...)
}

// A declaration sets the default, and what is left at zero only where zero is no value of its own.
func TestPreset(t *testing.T) {
	var o options
	Complete(o.Settings())
	if o.wait != time.Second || o.rate != 10 || o.bytes != 1<<10 || len(o.words) != 2 || o.grace != 0 || o.on {
		t.Errorf("completed: %+v", o)
	}
	o = options{wait: time.Hour, rate: -1}
	if Complete(o.Settings()); o.wait != time.Hour || o.rate != -1 {
		t.Errorf("what was set has changed: %+v", o)
	}
	if Preset(o.Settings()); o.wait != time.Second || o.rate != 10 || o.grace != time.Minute || !o.on || o.site != 2 {
		t.Errorf("defaults: %+v", o)
	}
	if err := Check(o.Settings()); err != nil {
		t.Error(err)
	}
}

// Values are read into the fields, whatever their types, and every fault names its setting.
func TestLoad(t *testing.T) {
	for _, c := range []struct {
		flags string
		good  func(o *options) bool
		fault string
	}{
		{"--rate=0", func(o *options) bool { return o.rate == -1 }, ""},
		{"--rate=7", func(o *options) bool { return o.rate == 7 }, ""},
		{"--rate=-1", nil, "setting rate: -1 is too small; it must be at least 0 (from --rate)"},
		{"--bytes=2KiB --words=c", func(o *options) bool { return o.bytes == 2048 && o.words[0] == "c" }, ""},
		{"--bytes=1", nil, "setting bytes: 1 is too small; it must be at least 8"},
		{"--words=a,x,y", nil, "setting words: \"x\" is not known; choose one of a, b, c\nsetting words: \"y\" is not"},
		{"--site=here --on=false", func(o *options) bool { return o.site == 1 && !o.on }, ""},
		{"--site=nowhere", nil, `setting site: "nowhere" is not known; choose one of none, here, there`},
		{"--site=none", nil, "setting site: 0 is too small"},
		{"--wait=0 --grace=-1", nil, "setting wait: 0s is too short; it must be more than zero\nsetting grace: -1ms is negative; 0 is none"},
		{"--secret=x --secret-file=y", nil, "setting secret-file: secret is given too"},
	} {
		var o options
		settings := o.Settings()
		Preset(settings)
		_, _, err := Load(settings, strings.Fields(c.flags), nil)
		if err == nil {
			err = Check(settings)
		}
		switch {
		case c.fault != "":
			if err == nil || !strings.Contains(err.Error(), c.fault) {
				t.Errorf("%s: %v", c.flags, err)
			}
		case err != nil || !c.good(&o):
			t.Errorf("%s: %v, %+v", c.flags, err, o)
		}
	}
}

// The reference has each group with its settings, and a secret beside its file.
func TestDocument(t *testing.T) {
	var o options
	Preset(o.Settings())
	page := Document(o.Settings())
	for _, want := range []string{
		"\n## Cluster\n", "| `grace` | duration | `60000` ms | How long. |", "| `rate` | number | `10` |", "| `site` | text | `there` |",
		"| `words` | list | `a,b` |", "| `secret` | text | (empty) |", "| `secret-file` | text | (empty) | File that holds secret",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is missing in\n%s", want, page)
		}
	}
	if o.rate = -1; !strings.Contains(Usage(o.Settings()), `--rate number`) || !strings.Contains(Document(o.Settings()), "| `rate` | number | `0` |") {
		t.Error("what is off is not written as 0")
	}
}
