// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"

	"github.com/spanwire/spanwire/internal/sio"
)

// The file of the setting service-callers: reading it, and finding fault with it before any of it
// takes effect. Who may do what is decided in auth.go.

// LeastToken is the length of the shortest token, in bytes.
const LeastToken = 16

// document is the form of the file.
type document struct {
	Callers *[]entry `yaml:"callers"`
}

// entry is one caller in the file.
type entry struct {
	Name              string            `yaml:"name"`
	Tokens            []string          `yaml:"tokens"`
	TokenFiles        []string          `yaml:"token_files"`
	Certificates      []string          `yaml:"certificates"`
	May               *[]Right          `yaml:"may"`
	Services          []sio.ServiceName `yaml:"services"`
	Namespaces        []sio.Namespace   `yaml:"namespaces"`
	NamespacePatterns []string          `yaml:"namespace_patterns"`
}

// Files names the file of callers, and the files of tokens that it names.
func (c *Callers) Files() []string {
	if files := c.files.Load(); files != nil {
		return *files
	}
	return nil
}

// Load reads the file again. An error says all that is wrong with it; the callers of before stay.
func (c *Callers) Load() error {
	if c.file == "" {
		c.list.Store(new([]*Caller))
		return nil
	}
	data, err := os.ReadFile(c.file)
	if err != nil {
		return fmt.Errorf("callers: %w", err)
	}
	var d document
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	if err := decoder.Decode(&d); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("callers in %s: %w", c.file, withoutValues(err))
	}
	if d.Callers == nil { // an empty list is one, an empty file is likely a mistake
		return fmt.Errorf("callers in %s: there is no list `callers`; write `callers: []` to let nobody in", c.file)
	}
	files := []string{c.file}
	callers := make([]*Caller, 0, len(*d.Callers))
	faults := []error{empty(data)}
	for i := range *d.Callers {
		e := &(*d.Callers)[i]
		e.Name = named(e.Name, i)
		for _, name := range e.TokenFiles {
			if !filepath.IsAbs(name) {
				name = filepath.Join(filepath.Dir(c.file), name)
			}
			files = append(files, name)
			faults = append(faults, e.readTokens(name))
		}
		caller, err := e.caller()
		faults = append(faults, err)
		callers = append(callers, caller)
	}
	faults = append(faults, doubles(callers))
	c.files.Store(&files) // also of a file that is no good: when what it names changes, it may be
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("callers in %s: %w", c.file, err)
	}
	c.list.Store(&callers)
	return nil
}

// withoutValues leaves out of an error what it quotes of the file, which may be of a token.
func withoutValues(err error) error {
	var typed *yaml.TypeError
	if !errors.As(err, &typed) {
		return err // of the syntax: it names lines alone
	}
	faults := make([]error, len(typed.Errors))
	for i, text := range typed.Errors {
		if line, _, quotes := strings.Cut(text, ": cannot unmarshal "); quotes {
			text = line + ": this is of the wrong kind: a list, an entry or a text is expected"
		}
		faults[i] = errors.New(text)
	}
	return errors.Join(faults...)
}

// empty finds lists without items among those that allow everything when they are left out: what a
// template left empty must not do so.
func empty(data []byte) error {
	var d struct {
		Callers []map[string]yaml.Node `yaml:"callers"`
	}
	if err := yaml.Unmarshal(data, &d); err != nil {
		return withoutValues(err)
	}
	var faults []error
	for i, e := range d.Callers {
		name := e["name"]
		for _, key := range []string{"may", "services", "namespaces", "namespace_patterns"} {
			nothing := key == "may" && e[key].Kind == yaml.SequenceNode // is what the caller may
			if list, given := e[key]; given && len(list.Content) == 0 && !nothing {
				faults = append(faults, fmt.Errorf("caller %s: %s has no items; leave it out to allow all", named(name.Value, i), key))
			}
		}
	}
	return errors.Join(faults...)
}

func named(name string, i int) string {
	if name == "" {
		return fmt.Sprintf("number %d", i+1)
	}
	return name
}

// readTokens takes the tokens of a file, one in a line.
func (e *entry) readTokens(file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("caller %s: %w", e.Name, err)
	}
	before := len(e.Tokens)
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line != "" {
			e.Tokens = append(e.Tokens, line)
		}
	}
	if len(e.Tokens) == before {
		return fmt.Errorf("caller %s: there is no token in %s", e.Name, file)
	}
	return nil
}

// caller makes the caller, or says what is wrong with it.
func (e *entry) caller() (*Caller, error) {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("caller %s: "+format, append([]any{e.Name}, args...)...))
	}
	c := &Caller{name: e.Name, rights: usual, services: e.Services, namespaces: e.Namespaces, certificates: e.Certificates}
	if e.May != nil {
		c.rights = *e.May
	}
	for _, r := range c.rights {
		if !slices.Contains(all, r) {
			fault("%q is nothing that one may do; choose of register, emit, query, retire, operate", r)
		}
	}
	for i, t := range e.Tokens {
		if len(t) < LeastToken || strings.ContainsFunc(t, unicode.IsSpace) {
			fault("token %d can be guessed or mistyped; use at least %d characters without spaces", i+1, LeastToken)
		}
		c.tokens = append(c.tokens, sha256.Sum256([]byte(t)))
	}
	if len(e.Tokens)+len(e.TokenFiles)+len(e.Certificates) == 0 {
		fault("it has neither tokens, token_files nor certificates, so nobody can be it")
	}
	for _, ns := range e.Namespaces {
		if !strings.HasPrefix(string(ns), "/") {
			fault("the namespace %q must begin with a slash", ns)
		}
	}
	for _, text := range e.NamespacePatterns {
		p, err := sio.CompilePattern(text)
		if err != nil {
			fault("%q is no pattern of namespaces (RE2): %v", text, err)
			continue
		}
		c.patterns = append(c.patterns, p)
	}
	return c, errors.Join(faults...)
}

// doubles finds what would be two callers at once.
func doubles(callers []*Caller) error {
	var faults []error
	names, certificates, tokens := map[string]bool{}, map[string]string{}, map[[sha256.Size]byte]string{}
	for _, c := range callers {
		if names[c.name] {
			faults = append(faults, fmt.Errorf("caller %s stands twice", c.name))
		}
		names[c.name] = true
		for _, x := range c.certificates {
			if other, double := certificates[x]; double && other != c.name {
				faults = append(faults, fmt.Errorf("callers %s and %s have the same certificate %q", other, c.name, x))
			}
			certificates[x] = c.name
		}
		for _, t := range c.tokens {
			if other, double := tokens[t]; double && other != c.name {
				faults = append(faults, fmt.Errorf("callers %s and %s have the same token", other, c.name))
			}
			tokens[t] = c.name
		}
	}
	return errors.Join(faults...)
}

func (c *Caller) denied(format string, args ...any) error {
	return sio.E(sio.CodeDenied, "access", fmt.Sprintf("the caller %s may not %s (setting service-callers)", c.name, fmt.Sprintf(format, args...)))
}

func unknown(format string, args ...any) error {
	return sio.E(sio.CodeUnauthenticated, "access", fmt.Sprintf(format, args...))
}
