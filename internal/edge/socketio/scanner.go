// SPDX-License-Identifier: Apache-2.0

package socketio

import (
	"errors"

	"github.com/spanwire/spanwire/internal/jsonscan"
)

// scanner reads payloads, and puts what is wrong with them into verdicts.
type scanner struct{ jsonscan.Scanner }

func (s *scanner) document(i int) error { return verdictOn(s.Document(i)) }

func (s *scanner) end(i int) error { return verdictOn(s.End(i)) }

func (s *scanner) value(i int) (int, error) {
	end, err := s.Value(i)
	return end, verdictOn(err)
}

func (s *scanner) array(i int) (int, error) {
	end, err := s.Array(i)
	return end, verdictOn(err)
}

func (s *scanner) elements(i int) (int, error) {
	const unmeasured = 0
	end, err := s.Elements(i, unmeasured)
	return end, verdictOn(err)
}

// verdictOn says what is wrong with JSON in the words of this package.
func verdictOn(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jsonscan.ErrDepth):
		return errs[VerdictDepth]
	case errors.Is(err, jsonscan.ErrPlaceholder):
		return errs[VerdictPlaceholder]
	}
	return errs[VerdictJSON]
}
