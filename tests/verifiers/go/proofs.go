package main

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// checkLeaves hashes every leaf and compares it with the proved hash at its place.
func (log *savedLog) checkLeaves(areJSON bool) error {
	for first := int64(0); first < log.head.N; first += width {
		count := log.head.N - first
		if count > width {
			count = width
		}
		leaves, err := tileFolder(log.dir).leaves(first/width, int(count))
		if err != nil {
			return err
		}
		at := make([]int64, len(leaves))
		for i := range leaves {
			at[i] = tlog.StoredHashIndex(0, first+int64(i))
		}
		proved, err := log.hashes.ReadHashes(at)
		if err != nil {
			return err
		}
		for i, leaf := range leaves {
			if tlog.RecordHash(leaf) != proved[i] {
				return fmt.Errorf("leaf %d is not the one that was signed", first+int64(i))
			}
			if areJSON && !isCanonical(leaf) {
				return fmt.Errorf("leaf %d is not canonical JSON", first+int64(i))
			}
		}
	}
	fmt.Printf("%d leaves are the ones that were signed\n", log.head.N)
	return nil
}

// checkProofs makes an inclusion proof for every n-th leaf and the last one, and checks it with nothing but the root.
func (log *savedLog) checkProofs(every int64) error {
	if every <= 0 || log.head.N == 0 {
		return nil
	}
	checked := 0
	for index := int64(0); ; index += every {
		if index >= log.head.N {
			index = log.head.N - 1
		}
		proof, err := tlog.ProveRecord(log.head.N, index, log.hashes)
		if err != nil {
			return err
		}
		leaf, err := log.hashes.ReadHashes([]int64{tlog.StoredHashIndex(0, index)})
		if err != nil {
			return err
		}
		if err := tlog.CheckRecord(proof, log.head.N, log.head.Hash, index, leaf[0]); err != nil {
			return fmt.Errorf("leaf %d: %w", index, err)
		}
		checked++
		if index == log.head.N-1 {
			break
		}
	}
	fmt.Printf("%d inclusion proofs are good\n", checked)
	return nil
}

// contains proves that the folder's log begins with another tree.
func (log *savedLog) contains(tree signedTree) error {
	if tree.origin != log.head.origin {
		return errors.New("of another log")
	}
	return consistent(log.hashes, tree.Tree, log.head.Tree, log.head.N)
}

func consistent(hashes tlog.HashReader, older, newer tlog.Tree, have int64) error {
	switch {
	case newer.N > have:
		return fmt.Errorf("%d leaves, which is more than the folder has", newer.N)
	case older.N > newer.N:
		return errors.New("the log has shrunk")
	case older.N == 0:
		return nil
	case older.N == newer.N:
		if older.Hash != newer.Hash {
			return errors.New("two trees of one size: the log is forked")
		}
		return nil
	}
	proof, err := tlog.ProveTree(newer.N, older.N, hashes)
	if err != nil {
		return err
	}
	if err := tlog.CheckTree(proof, newer.N, newer.Hash, older.N, older.Hash); err != nil {
		return fmt.Errorf("the log is forked: %w", err)
	}
	return nil
}

// checkReceipt reads one .tlog-proof with the .leaf beside it.
func (log *savedLog) checkReceipt(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	leaf, err := os.ReadFile(strings.TrimSuffix(file, "tlog-proof") + "leaf")
	if err != nil {
		return err
	}
	border := bytes.Index(text, []byte("\n\n"))
	if border < 0 {
		return errors.New("no empty line")
	}
	lines := strings.Split(string(text[:border]), "\n")
	if lines[0] != "c2sp.org/tlog-proof@v1" {
		return errors.New("not a receipt")
	}
	lines = lines[1:]
	if len(lines) > 0 && strings.HasPrefix(lines[0], "extra ") {
		extra, err := base64.StdEncoding.DecodeString(lines[0][len("extra "):])
		if err != nil || !bytes.Equal(extra, leaf) {
			return errors.New("it came with another leaf")
		}
		lines = lines[1:]
	}
	if len(lines) == 0 || !strings.HasPrefix(lines[0], "index ") {
		return errors.New("no index")
	}
	index, err := strconv.ParseInt(lines[0][len("index "):], 10, 48)
	if err != nil || index < 0 {
		return errors.New("no index")
	}
	proof := tlog.RecordProof{}
	for _, line := range lines[1:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return err
		}
		proof = append(proof, hash)
	}
	tree, err := log.trust.check(text[border+2:], true)
	if err != nil {
		return err
	}
	if err := tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(leaf)); err != nil {
		return err
	}
	return log.contains(tree)
}
