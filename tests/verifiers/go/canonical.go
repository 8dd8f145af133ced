package main

import (
	"bytes"
	"encoding/json"
	"io"
	"sort"
	"strconv"
	"strings"
	"unicode"
)

// isCanonical says whether a leaf is one JSON object, written the one way: RFC 8785 without null, fractions, signs, control characters;
// keys of small letters and underscores. It reads the object with encoding/json, writes it again, and compares.
func isCanonical(leaf []byte) bool {
	decoder := json.NewDecoder(bytes.NewReader(leaf))
	decoder.UseNumber()
	var object map[string]any
	if decoder.Decode(&object) != nil || object == nil {
		return false
	}
	if _, err := decoder.Token(); err != io.EOF {
		return false
	}
	var again strings.Builder
	return write(&again, object) && again.String() == string(leaf)
}

func write(out *strings.Builder, value any) bool {
	switch value := value.(type) {
	case map[string]any:
		keys := make([]string, 0, len(value))
		for key := range value {
			keys = append(keys, key)
		}
		sort.Strings(keys)
		out.WriteByte('{')
		for i, key := range keys {
			if i > 0 {
				out.WriteByte(',')
			}
			if strings.Trim(key, "abcdefghijklmnopqrstuvwxyz_") != "" {
				return false
			}
			out.WriteString(`"` + key + `":`)
			if !write(out, value[key]) {
				return false
			}
		}
		out.WriteByte('}')
	case []any:
		out.WriteByte('[')
		for i, item := range value {
			if i > 0 {
				out.WriteByte(',')
			}
			if !write(out, item) {
				return false
			}
		}
		out.WriteByte(']')
	case string:
		if strings.IndexFunc(value, unicode.IsControl) >= 0 {
			return false
		}
		out.WriteString(`"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"`)
	case json.Number:
		number, err := strconv.ParseUint(value.String(), 10, 53)
		if err != nil {
			return false
		}
		out.WriteString(strconv.FormatUint(number, 10))
	case bool:
		out.WriteString(strconv.FormatBool(value))
	default:
		return false
	}
	return true
}
