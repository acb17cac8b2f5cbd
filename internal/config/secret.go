// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// A secret may come from a file, so that it is in no command line, environment or configuration
// file: each setting that is a secret has a neighbor with the ending -file, which names a file
// that holds the value. The files are read once, at the start.

const fileEnding = "-file"

// largestSecret bounds what is read of a file that may be any.
const largestSecret = 64 << 10

// fromFile is the neighbour of a secret.
func (s *Setting) fromFile() Setting {
	form := "A line end at its end does not count."
	if s.Kind() == "list" {
		form = "Each line is an item."
	}
	return Setting{Name: s.Name + fileEnding, Group: s.Group, value: (*textValue)(s.file), target: s.file, preset: func() { *s.file = "" },
		Doc: fmt.Sprintf("File that holds %s, in its place. %s It is read at the start.", s.Name, form)}
}

// readSecrets takes secrets from the files that the settings name.
func readSecrets(settings []Setting) (f Faults) {
	for i := range settings {
		s := &settings[i]
		if s.file == nil || *s.file == "" {
			continue
		}
		name := s.Name + fileEnding
		if s.Value() != "" {
			f.Add(name, "%s is given too; give one of the two", s.Name)
			continue
		}
		value, err := readSecret(*s.file)
		if err == nil && s.Kind() == "list" {
			value = strings.ReplaceAll(value, "\n", ",")
		}
		if err == nil && strings.Contains(value, "\n") {
			err = fmt.Errorf("%s has more than one line", *s.file)
		}
		if err == nil {
			err = s.value.Set(value)
		}
		if err == nil && s.Value() == "" {
			err = fmt.Errorf("%s is empty", *s.file)
		}
		if err != nil {
			f.Add(name, "%v", err)
		}
	}
	return f
}

func readSecret(name string) (string, error) {
	file, err := os.Open(name)
	if err != nil {
		return "", err
	}
	data, err := io.ReadAll(io.LimitReader(file, largestSecret+1))
	switch err = errors.Join(err, file.Close()); {
	case err != nil:
		return "", err
	case len(data) > largestSecret:
		return "", fmt.Errorf("%s is larger than %d bytes", name, largestSecret)
	}
	return strings.TrimRight(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n"), nil
}
