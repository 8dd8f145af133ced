// Logcheck reads a folder in which somebody saved a C2SP log and says whether it is one. The signatures of the log and the Merkle tree
// are checked by golang.org/x/mod/sumdb, which knows nothing of Lockplate; this program adds what that package does not have: witnesses,
// quorums, C2SP's file names, bundles of leaves, receipts.
//
//	logcheck [-json] [-proofs N] DIR     the whole folder; see README.md for what must be in it
//	logcheck -chain DIR FILE...          the checkpoints in FILEs: every two of them are of one growing log, whose newest is DIR's
//
// The last line of its output is OK and the exit code 0, or the first fault is named on standard error and the exit code is 1.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sort"

	"golang.org/x/mod/sumdb/tlog"
)

func main() {
	chain := flag.Bool("chain", false, "compare checkpoints, every two of them")
	leavesAreJSON := flag.Bool("json", false, "leaves must be canonical JSON of the narrow kind")
	every := flag.Int64("proofs", 1, "make and check an inclusion proof for every `N`-th leaf; 0 for none")
	flag.Parse()
	var err error
	switch {
	case *chain && flag.NArg() >= 2:
		err = checkChain(flag.Arg(0), flag.Args()[1:])
	case !*chain && flag.NArg() == 1:
		err = checkFolder(flag.Arg(0), *leavesAreJSON, *every)
	default:
		flag.Usage()
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "REFUSED:", err)
		os.Exit(1)
	}
	fmt.Println("OK")
}

// A savedLog is the newest checkpoint of a folder and its tiles. What hashes returns has been proved against the checkpoint.
type savedLog struct {
	dir    string
	trust  *trust
	head   signedTree
	hashes tlog.HashReader
}

func openFolder(dir string) (*savedLog, error) {
	text, err := os.ReadFile(filepath.Join(dir, "policy"))
	if err != nil {
		return nil, err
	}
	trust, err := readTrust(string(text))
	if err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	note, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	if err != nil {
		return nil, err
	}
	head, err := trust.check(note, true)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	return &savedLog{dir, trust, head, tlog.TileHashReader(head.Tree, tileFolder(dir))}, nil
}

func checkFolder(dir string, leavesAreJSON bool, every int64) error {
	log, err := openFolder(dir)
	if err != nil {
		return err
	}
	fmt.Printf("%s: %d leaves, cosigned by %v\n", log.head.origin, log.head.N, log.head.witnesses)
	if note, err := os.ReadFile(filepath.Join(dir, "checkpoint.old")); err == nil {
		// It was good when it was published; who must cosign may have changed since.
		old, err := log.trust.check(note, false)
		if err == nil {
			err = log.contains(old)
		}
		if err != nil {
			return fmt.Errorf("checkpoint.old: %w", err)
		}
		fmt.Printf("the log of %d leaves is the beginning of it\n", old.N)
	} else if !os.IsNotExist(err) {
		return err
	}
	if err := log.checkLeaves(leavesAreJSON); err != nil {
		return err
	}
	if err := log.checkProofs(every); err != nil {
		return err
	}
	receipts, err := filepath.Glob(filepath.Join(dir, "receipts", "*.tlog-proof"))
	if err != nil {
		return err
	}
	for _, file := range receipts {
		if err := log.checkReceipt(file); err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(file), err)
		}
	}
	fmt.Printf("%d receipts are good\n", len(receipts))
	return nil
}

// checkChain proves every two checkpoints consistent with each other, and all with the folder's.
func checkChain(dir string, files []string) error {
	log, err := openFolder(dir)
	if err != nil {
		return err
	}
	heads := []signedTree{log.head}
	for _, file := range files {
		note, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		head, err := log.trust.check(note, true)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if head.origin != log.head.origin {
			return fmt.Errorf("%s: of another log", file)
		}
		heads = append(heads, head)
	}
	sort.SliceStable(heads, func(a, b int) bool { return heads[a].N < heads[b].N })
	pairs := 0
	for i, older := range heads {
		for _, newer := range heads[i+1:] {
			if err := consistent(log.hashes, older.Tree, newer.Tree, log.head.N); err != nil {
				return fmt.Errorf("%d -> %d: %w", older.N, newer.N, err)
			}
			pairs++
		}
	}
	fmt.Printf("%d checkpoints, %d pairs, one log\n", len(heads), pairs)
	return nil
}
