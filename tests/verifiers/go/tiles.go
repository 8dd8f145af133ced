package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/mod/sumdb/tlog"
)

// width is the number of hashes or leaves of a full file.
const width = 256

// tileFolder is where tlog.TileHashReader gets its tiles from; it trusts none of them.
type tileFolder string

func (tileFolder) Height() int { return 8 }

// SaveTiles has nothing to do: what is read is in the folder already.
func (tileFolder) SaveTiles([]tlog.Tile, [][]byte) {}

func (f tileFolder) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	found := make([][]byte, 0, len(wanted))
	for _, tile := range wanted {
		bytes, full, err := f.file(strconv.Itoa(tile.L), tile.N, tile.W)
		if err != nil {
			return nil, err
		}
		want := tile.W * tlog.HashSize
		if full && len(bytes) == width*tlog.HashSize {
			bytes = bytes[:want]
		}
		if len(bytes) != want {
			return nil, fmt.Errorf("tile %d of level %d has %d bytes instead of %d", tile.N, tile.L, len(bytes), want)
		}
		found = append(found, bytes)
	}
	return found, nil
}

// leaves returns the count leaves of a bundle.
func (f tileFolder) leaves(bundle int64, count int) ([][]byte, error) {
	bytes, full, err := f.file("entries", bundle, count)
	if err != nil {
		return nil, err
	}
	var leaves [][]byte
	for len(leaves) < count || (full && len(bytes) > 0) {
		if len(bytes) < 2 {
			return nil, fmt.Errorf("bundle %d ends early", bundle)
		}
		end := 2 + int(binary.BigEndian.Uint16(bytes))
		if end == 2 || end > len(bytes) {
			return nil, fmt.Errorf("leaf %d of bundle %d has a length that cannot be", len(leaves), bundle)
		}
		leaves = append(leaves, bytes[2:end])
		bytes = bytes[end:]
	}
	if len(bytes) > 0 {
		return nil, fmt.Errorf("bundle %d goes on after its last leaf", bundle)
	}
	return leaves[:count], nil
}

// file reads a file of the folder; where a partial one is gone, the full one, from which it can be cut.
func (f tileFolder) file(level string, n int64, w int) (bytes []byte, full bool, err error) {
	path := filepath.Join(string(f), "tile", level, number(n))
	if w < width {
		bytes, err = os.ReadFile(filepath.Join(path+".p", strconv.Itoa(w)))
		if err == nil || !errors.Is(err, os.ErrNotExist) {
			return bytes, false, err
		}
	}
	bytes, err = os.ReadFile(path)
	return bytes, w < width, err
}

// number writes a tile's number in groups of three digits, x before all but the last.
func number(n int64) string {
	text := fmt.Sprintf("%03d", n%1000)
	for n /= 1000; n > 0; n /= 1000 {
		text = fmt.Sprintf("x%03d/%s", n%1000, text)
	}
	return text
}
