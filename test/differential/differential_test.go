// SPDX-License-Identifier: Apache-2.0

package differential

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"flag"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spanwire/spanwire/internal/edge/socketio"
)

var rounds = flag.Int("rounds", 20_000, "mutated packets to compare")

// frame is one message of a browser.
type frame struct {
	Text   *string `json:"text,omitempty"`
	Binary *string `json:"binary,omitempty"` // base64
}

func text(s string) frame { return frame{Text: &s} }

func binary(s string) frame {
	s = base64.StdEncoding.EncodeToString([]byte(s))
	return frame{Binary: &s}
}

// outcome is what a parser makes of a case.
type outcome struct {
	Verdict string   `json:"verdict"` // accepted, refused or incomplete
	Why     string   `json:"why"`
	Type    int      `json:"type"`
	NSP     string   `json:"nsp"`
	ID      *float64 `json:"id"`
	Data    any      `json:"data"`
}

// ours is what the broker makes of it.
func ours(frames []frame) outcome {
	limits := socketio.DefaultLimits()
	d := socketio.Decoder{Limits: &limits}
	o := outcome{Verdict: "incomplete"}
	for _, f := range frames {
		var (
			p        socketio.Packet
			complete bool
			err      error
		)
		if f.Text != nil {
			p, complete, err = d.Text([]byte(*f.Text))
		} else {
			data, _ := base64.StdEncoding.DecodeString(*f.Binary) // it was encoded above
			p, complete, err = d.Binary(data)
		}
		if err != nil {
			return outcome{Verdict: "refused", Why: err.Error()}
		}
		if complete {
			o = accepted(&p)
		} else {
			o = outcome{Verdict: "incomplete"}
		}
	}
	return o
}

func accepted(p *socketio.Packet) outcome {
	o := outcome{Verdict: "accepted", Type: int(p.Type - '0'), NSP: string(p.Namespace)}
	if p.HasID {
		id := float64(p.ID)
		o.ID = &id
	}
	if p.Type == socketio.BinaryEvent || p.Type == socketio.BinaryAck {
		o.Type -= int(socketio.BinaryEvent - socketio.Event) // as the other parser tells it
	}
	switch p.Type {
	case socketio.Event, socketio.BinaryEvent:
		var args []any
		decode(p.Event.Args, &args)
		o.Data = restore(append([]any{p.Event.Name}, args...), p.Event.Attachments)
	case socketio.Ack, socketio.BinaryAck:
		if p.Event.Args != nil {
			var args []any
			decode(p.Event.Args, &args)
			o.Data = restore(args, p.Event.Attachments)
		}
	case socketio.Connect, socketio.Disconnect, socketio.ConnectError:
		if p.Payload != nil {
			decode(p.Payload, &o.Data)
		}
	}
	return o
}

func decode(data []byte, v any) {
	if len(data) > 0 {
		_ = json.Unmarshal(data, v) // a failure shows as a difference
	}
}

// restore puts attachments where their placeholders are.
func restore(v any, attachments [][]byte) any {
	switch x := v.(type) {
	case []any:
		for i := range x {
			x[i] = restore(x[i], attachments)
		}
	case map[string]any:
		if n, ok := x["num"].(float64); ok && x["_placeholder"] == true && len(attachments) > 0 {
			return map[string]any{"$bytes": base64.StdEncoding.EncodeToString(attachments[int(n)])}
		}
		for k := range x {
			x[k] = restore(x[k], attachments)
		}
	}
	return v
}

// difference is something that both parsers see differently on purpose.
type difference struct {
	name  string
	why   string
	text  *regexp.Regexp // of the packet that shows it
	seeds []string
}

// blankID is the one difference in values: both take the packet.
const blankID = "blank id"

// head is what may stand before the ack id of a packet that both understand.
const head = `^(?:[0-4]|[56][0-9]+-)(?:/[^,]*(?:,|$))?`

// differences are all cases in which the broker refuses what the JavaScript parser accepts, or sees
// other values in it. It accepts nothing that is refused there.
var differences = []difference{
	{"no type", "a blank or nothing at all counts as a connect there", regexp.MustCompile(`^([\s\pZ]|$)`), []string{"", " /x"}},
	{"count", "any text that JavaScript takes for a number is a number of attachments there",
		regexp.MustCompile(`^[56](?:[^-0-9]|[0-9]+[^-0-9]|-|0[0-9])`), []string{`5 1-["a"]`, `51.0-["a"]`, `50x1-["a"]`}},
	{blankID, "blanks count as digits of an ack id there", regexp.MustCompile(head + `[0-9]*[\s\pZ]`), []string{`2 ["a"]`, `21 2["a"]`}},
	{"large id", "an ack id above 2^53-1 comes back altered there", regexp.MustCompile(head + `[0-9]{16,}`), []string{`299999999999999999999["a"]`}},
	{"id on control packets", "connects, disconnects and refusals have no ack", regexp.MustCompile(`^[014](?:/[^,]*,)?[0-9]`), []string{"05", "17"}},
	{"no payload", "an event is nothing without a name", regexp.MustCompile(`^[2456][-0-9]*(?:/[^,]*,?)?[0-9]*$`), []string{"2", "4", "27", "51-"}},
	{"namespace", "its length is limited", regexp.MustCompile(`^[^/]*/[^,]{240}`), []string{"0/" + strings.Repeat("n", 300)}},
	{"name", "its length is limited", regexp.MustCompile(`\["[^"]{1000}[^"]{25}`), []string{`2["` + strings.Repeat("n", 2000) + `"]`}},
	{"depth", "it is limited", regexp.MustCompile(`[\[{]{400}`), []string{`2["a",` + strings.Repeat("[", 600) + strings.Repeat("]", 600) + "]"}},
	{"placeholder", "it names an attachment by a whole number", regexp.MustCompile(`^[56].*"num"\s*:\s*(?:-?0?\.|-?[0-9]*\.|-0|[0-9]*[eE])`),
		[]string{`51-["a",{"_placeholder":true,"num":0.5}]`}},
}

func listed(frames []frame, refused bool) bool {
	for _, f := range frames {
		if f.Text == nil {
			continue
		}
		for _, d := range differences {
			if (refused || d.name == blankID) && d.text.MatchString(*f.Text) {
				return true
			}
		}
	}
	return false
}

// oracle is the JavaScript parser in a process of its own.
type oracle struct {
	in  io.WriteCloser
	out *bufio.Reader
}

func startOracle(t *testing.T) *oracle {
	t.Helper()
	cmd := exec.Command("node", "oracle.js")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("the JavaScript parser needs node, and the packages of test/interop/js: %v", err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	return &oracle{in, bufio.NewReaderSize(out, 1<<20)}
}

// parse asks about many cases at once.
func (o *oracle) parse(t *testing.T, cases [][]frame) []outcome {
	t.Helper()
	var lines bytes.Buffer
	for _, frames := range cases {
		if frames == nil {
			frames = []frame{}
		}
		if err := json.NewEncoder(&lines).Encode(map[string]any{"frames": frames}); err != nil {
			t.Fatal(err)
		}
	}
	go func() { _, _ = o.in.Write(lines.Bytes()) }() // ends when all is read, or with the process
	answers := make([]outcome, len(cases))
	for i := range answers {
		line, err := o.out.ReadBytes('\n')
		if err == nil {
			err = json.Unmarshal(line, &answers[i])
		}
		if err != nil {
			t.Fatalf("the JavaScript parser answered %q: %v", line, err)
		}
	}
	return answers
}

// same tells whether two outcomes are alike, a number as an event's name counting as its text.
func same(a, b outcome) bool {
	if a.Verdict != b.Verdict {
		return false
	}
	if a.Verdict != "accepted" {
		return true
	}
	if list, ok := b.Data.([]any); ok && len(list) > 0 && b.Type == 2 {
		if n, ok := list[0].(float64); ok {
			mine := a.Data.([]any)[0].(string)
			if f, err := strconv.ParseFloat(mine, 64); err != nil && f != n && !strings.ContainsAny(mine, "eE") {
				return false
			}
			list[0] = a.Data.([]any)[0]
		}
		if list[0] == nil { // a number beyond all numbers
			list[0] = a.Data.([]any)[0]
		}
	}
	if (a.ID == nil) != (b.ID == nil) || a.ID != nil && *a.ID != *b.ID || a.Type != b.Type || a.NSP != b.NSP {
		return false
	}
	return reflect.DeepEqual(plain(a.Data), plain(b.Data))
}

// plain makes values comparable: null and absent are one, and so is what JSON cannot tell apart.
func plain(v any) any {
	switch x := v.(type) {
	case []any:
		for i := range x {
			x[i] = plain(x[i])
		}
	case map[string]any:
		for k := range x {
			x[k] = plain(x[k])
		}
	case string:
		return strings.ToValidUTF8(x, "\uFFFD")
	case float64:
		return x + 0 // -0 is 0
	}
	return v
}

func compare(t *testing.T, o *oracle, cases [][]frame) (differ int) {
	t.Helper()
	theirs := o.parse(t, cases)
	for i, frames := range cases {
		mine := ours(frames)
		// A placeholder is judged here when the text comes, and there when the last attachment has
		// come.
		for n := 0; mine.Verdict == "refused" && theirs[i].Verdict == "incomplete" && n < 10; n++ {
			frames = append(frames[:len(frames):len(frames)], binary("x"))
			theirs[i] = o.parse(t, [][]frame{frames})[0]
		}
		if same(mine, theirs[i]) {
			continue
		}
		if listed(frames, mine.Verdict == "refused") {
			differ++
			continue
		}
		shown, _ := json.Marshal(frames)
		t.Errorf("%s\n ours:   %+v\n theirs: %+v", shown, mine, theirs[i])
	}
	return differ
}

// What the vectors hold is seen alike, or listed.
func TestDifferential_Vectors(t *testing.T) { compare(t, startOracle(t), seeds(t)) }

// Every listed difference is one: what is no difference any more must leave the list.
func TestDifferential_Listed(t *testing.T) {
	o := startOracle(t)
	for _, d := range differences {
		for _, seed := range d.seeds {
			frames := []frame{text(seed)}
			if theirs := o.parse(t, [][]frame{frames})[0]; same(ours(frames), theirs) || theirs.Verdict == "refused" {
				t.Errorf("%s (%s): %.60q is seen alike: %+v", d.name, d.why, seed, theirs)
			}
			if !d.text.MatchString(seed) {
				t.Errorf("%s: %.60q does not match its own pattern", d.name, seed)
			}
		}
	}
}

// Mutations of what the vectors hold are seen alike, or listed. The seed of a failure is in its
// message.
func TestDifferential_Mutations(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	o, all := startOracle(t), seeds(t)
	const batch = 1000
	differ := 0
	for done := 0; done < *rounds && !t.Failed(); done += batch {
		cases := make([][]frame, batch)
		for i := range cases {
			cases[i] = mutate(r, all[r.IntN(len(all))])
		}
		differ += compare(t, o, cases)
	}
	t.Logf("%d of %d differ as listed", differ, *rounds)
}

// mutate changes a few characters of a case.
func mutate(r *rand.Rand, frames []frame) []frame {
	const alphabet = "0123456789-/,[]{}\":. \\untrefalsabc_placeholder€😀\u2028\t"
	letters := []rune(alphabet)
	changed := append([]frame(nil), frames...)
	for range 1 + r.IntN(3) {
		i := r.IntN(len(changed))
		if changed[i].Text == nil {
			if r.IntN(4) == 0 {
				changed = append(changed[:i], changed[i+1:]...)
			}
			if len(changed) == 0 {
				return frames
			}
			continue
		}
		s := []rune(*changed[i].Text)
		at := 0
		if len(s) > 0 {
			at = r.IntN(min(len(s), 200))
		}
		letter := letters[r.IntN(len(letters))]
		switch r.IntN(4) {
		case 0:
			s = append(s[:at:at], append([]rune{letter}, s[at:]...)...)
		case 1:
			if len(s) > 0 {
				s = append(s[:at:at], s[at+1:]...)
			}
		case 2:
			if len(s) > 0 {
				s = append([]rune(nil), s...)
				s[at] = letter
			}
		case 3:
			if r.IntN(2) == 0 {
				changed = append(changed, binary("x"))
			} else {
				s = s[:at]
			}
		}
		changed[i] = text(string(s))
	}
	return changed
}

// seeds are the packets of the vectors and of the list.
func seeds(t *testing.T) (cases [][]frame) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("../../testdata/vectors/packets.json"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Cases []struct {
			Frames []struct{ Text, Binary *string }
		}
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	for _, c := range file.Cases {
		var frames []frame
		valid := true
		for _, f := range c.Frames {
			if f.Text != nil {
				valid = valid && utf8.ValidString(*f.Text)
				frames = append(frames, text(*f.Text))
				continue
			}
			raw, err := hex.DecodeString(*f.Binary)
			if err != nil {
				t.Fatal(err)
			}
			frames = append(frames, binary(string(raw)))
		}
		if valid && len(frames) > 0 {
			cases = append(cases, frames)
		}
	}
	if len(cases) < 50 {
		t.Fatalf("the vectors hold only %d cases", len(cases))
	}
	return cases
}
