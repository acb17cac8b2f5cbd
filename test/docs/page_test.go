// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"fmt"
	"regexp"
	"strings"
)

// step is one thing that a page asks for.
type step struct {
	line int    // of the page, from 1
	verb string // run, background, save, append, check, stop
	text string // what a block must print, or the file that it is saved to
	code string
}

var directive = regexp.MustCompile(`^<!-- (run|not run|check|start|stop|from)\b:? ?(.*?) ?-->$`)

// parse reads a page. The error lists code blocks without a directive.
func parse(page string) (steps []step, err error) {
	var next *step // of the directive above
	var missing []string
	skip := false
	lines := strings.Split(page, "\n")
	for i := 0; i < len(lines); i++ {
		line := strings.TrimSpace(lines[i])
		if m := directive.FindStringSubmatch(line); m != nil {
			s := step{line: i + 1, text: m[2]}
			switch m[1] {
			case "not run", "from":
				skip = true
				continue
			case "check":
				s.verb, s.code, s.text = "check", m[2], ""
				steps = append(steps, s)
				continue
			case "start":
				s.verb = "background"
				s.code, s.text, _ = strings.Cut(m[2], " until ")
				steps = append(steps, s)
				continue
			case "stop":
				s.verb = "stop"
				steps = append(steps, s)
				continue
			}
			s.verb, s.text = verb(m[2])
			next = &s
			continue
		}
		if !strings.HasPrefix(line, "```") {
			continue
		}
		first := i + 1
		for i++; i < len(lines) && strings.TrimSpace(lines[i]) != "```"; i++ {
		}
		switch {
		case next != nil:
			next.code = dedent(lines[first:i])
			steps = append(steps, *next)
		case !skip && !strings.HasPrefix(line, "```mermaid"):
			missing = append(missing, fmt.Sprint(first))
		}
		next, skip = nil, false
	}
	if missing != nil {
		err = fmt.Errorf("code blocks at lines %s have no directive", strings.Join(missing, ", "))
	}
	return steps, err
}

// verb reads what stands behind "run:".
func verb(text string) (name, rest string) {
	for _, v := range []struct{ prefix, name string }{
		{"prints ", "run"}, {"in background until ", "background"}, {"save as ", "save"}, {"append to ", "append"},
	} {
		if rest, ok := strings.CutPrefix(text, v.prefix); ok {
			return v.name, rest
		}
	}
	return "run", ""
}

// dedent takes the indentation of a list away.
func dedent(lines []string) string {
	indent := ""
	if len(lines) > 0 {
		indent = lines[0][:len(lines[0])-len(strings.TrimLeft(lines[0], " "))]
	}
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(strings.TrimPrefix(l, indent) + "\n")
	}
	return b.String()
}
