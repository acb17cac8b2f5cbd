// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// FileFlag names the configuration file, by flag or by its variable.
const (
	FileFlag = "config"
	fileEnv  = "SPANWIRE_CONFIG"
)

// others are variables of the prefix that the SDKs read; the broker meets them when both share an
// environment.
var others = []string{
	fileEnv, "SPANWIRE_ADDRESS", "SPANWIRE_APP_ADDRESS", "SPANWIRE_BROKER", "SPANWIRE_RETIRE", "SPANWIRE_TOKEN", "SPANWIRE_TLS", "SPANWIRE_TLS_CA",
	"SPANWIRE_TLS_CERT", "SPANWIRE_TLS_KEY", "SPANWIRE_INSTANCE",
}

// Load reads the settings: the file first, then the environment, then the flags, each over the one
// before. It returns what follows the flags, the names of the secrets that were given as flags,
// where other users of the machine can read them, and all faults joined. It checks no values.
// flag.ErrHelp asks for Usage. environ is as os.Environ gives it.
func Load(settings []Setting, args, environ []string) (rest, shown []string, err error) {
	env := environment(environ)

	// The flags come last, but one of them names the file: they are parsed to be checked, and set
	// at the end.
	flags := flag.NewFlagSet("broker", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	file := flags.String(FileFlag, env[fileEnv], "")
	given := make(map[string]string)
	for _, s := range settings {
		flags.Var(&recorder{value: s.value, name: s.Name, given: given}, s.Name, s.Doc)
	}
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil, nil, err
		}
		return nil, nil, flagError(err, settings)
	}
	fs := readFile(*file, settings)
	fs = append(fs, readEnvironment(env, settings)...)
	for _, s := range settings {
		if v, ok := given[s.Name]; ok {
			if err := s.value.Set(v); err != nil {
				fs.Add(s.Name, "%v (from %s)", err, s.Flag())
			}
		}
	}
	if len(fs) == 0 {
		fs = readSecrets(settings)
	}
	if len(fs) > 0 {
		return nil, nil, fs.Joined()
	}
	return flags.Args(), shownSecrets(settings, given), nil
}

// shownSecrets are the secrets that were given as flags.
func shownSecrets(settings []Setting, given map[string]string) (names []string) {
	for _, s := range settings {
		value := given[s.Name]
		if public := strings.Contains(value, "://") && !strings.Contains(value, "@"); s.file != nil && value != "" && !public {
			names = append(names, s.Name)
		}
	}
	return names
}

// recorder notes what flags were given, without setting them yet.
type recorder struct {
	value
	name  string
	given map[string]string
}

// Set implements flag.Value.
func (r *recorder) Set(s string) error { r.given[r.name] = s; return nil }

// String implements flag.Value; the flag package also calls it on a zero recorder.
func (r *recorder) String() string {
	if r.value == nil {
		return ""
	}
	return r.value.String()
}

// IsBoolFlag implements the flag package's optional interface.
func (r *recorder) IsBoolFlag() bool {
	_, ok := r.value.(*toggleValue)
	return ok
}

func flagError(err error, settings []Setting) error {
	const unknown = "flag provided but not defined: -"
	if name, ok := strings.CutPrefix(err.Error(), unknown); ok {
		return fmt.Errorf("flag --%s is not known%s", name, suggest(name, settings, func(s *Setting) string { return s.Name }))
	}
	return err
}

func environment(environ []string) map[string]string {
	env := make(map[string]string)
	for _, e := range environ {
		if name, value, ok := strings.Cut(e, "="); ok && strings.HasPrefix(name, "SPANWIRE_") {
			env[name] = value
		}
	}
	return env
}

func readEnvironment(env map[string]string, settings []Setting) (f Faults) {
	known := slices.Clone(others)
	for _, s := range settings {
		known = append(known, s.Env())
		if v, ok := env[s.Env()]; ok {
			if err := s.value.Set(v); err != nil {
				f.Add(s.Name, "%v (from %s)", err, s.Env())
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if !slices.Contains(known, name) {
			f = append(f, fmt.Errorf("environment variable %s is not known%s", name,
				suggest(name, settings, (*Setting).Env)))
		}
	}
	return f
}

func readFile(name string, settings []Setting) (f Faults) {
	if name == "" {
		return nil
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return Faults{fmt.Errorf("configuration file: %w", err)}
	}
	var values map[string]any
	if err := yaml.Unmarshal(data, &values); err != nil {
		return Faults{fmt.Errorf("configuration file %s: %w", name, err)}
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		i := slices.IndexFunc(settings, func(s Setting) bool { return s.Key() == key })
		if i < 0 {
			f = append(f, fmt.Errorf("configuration file %s: key %s is not known%s", name, key, suggest(key, settings, (*Setting).Key)))
			continue
		}
		if _, nested := values[key].(map[string]any); nested {
			f.Add(settings[i].Name, "the file's keys are flat; write one value (from %s)", name)
		} else if err := settings[i].value.Set(scalar(values[key])); err != nil {
			f.Add(settings[i].Name, "%v (from %s)", err, name)
		}
	}
	return f
}

// scalar writes a YAML value as it would stand in a flag.
func scalar(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case []any:
		items := make([]string, len(v))
		for i, item := range v {
			items[i] = scalar(item)
		}
		return strings.Join(items, ",")
	}
	return fmt.Sprint(v)
}

// suggest names the setting that was probably meant.
func suggest(name string, settings []Setting, form func(*Setting) string) string {
	best, least := "", len(name)/2+1
	for i := range settings {
		candidate := form(&settings[i])
		if d := distance(name, candidate); d < least {
			best, least = candidate, d
		}
	}
	if best == "" {
		return "; `broker settings` lists all"
	}
	return fmt.Sprintf("; did you mean %s?", best)
}

// distance is the number of letters to change, add or drop between a and b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diagonal
			if a[i-1] != b[j-1] {
				cost++
			}
			diagonal = row[j]
			row[j] = min(cost, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}
