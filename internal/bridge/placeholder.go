// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"encoding/json"
	"errors"
)

var errPlaceholder = errors.New("has a placeholder that names no attachment")

// payload checks arguments and their attachments: the standard client closes its connection over a placeholder that names no attachment.
// Without attachments a placeholder is ordinary data. The arguments come without surrounding space.
func payload(args []byte, attachments [][]byte, depth int) ([]byte, error) {
	args, err := jsonArray(args, depth)
	if err != nil || len(attachments) == 0 || len(args) == 0 {
		return args, err
	}
	var tree any
	if err := json.Unmarshal(args, &tree); err != nil {
		return nil, errJSON
	}
	if !placeholdersFit(tree, len(attachments)) {
		return nil, errPlaceholder
	}
	return args, nil
}

func placeholdersFit(tree any, attachments int) bool {
	switch v := tree.(type) {
	case []any:
		for _, x := range v {
			if !placeholdersFit(x, attachments) {
				return false
			}
		}
	case map[string]any:
		if v["_placeholder"] == true {
			num, ok := v["num"].(float64)
			return ok && num >= 0 && num < float64(attachments) && num == float64(int(num))
		}
		for _, x := range v {
			if !placeholdersFit(x, attachments) {
				return false
			}
		}
	}
	return true
}
