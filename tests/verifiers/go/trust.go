package main

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// A trust is a C2SP tlog-policy file: whose notes are read, and whose cosignatures are enough.
type trust struct {
	keys   note.Verifiers
	logs   map[string]bool   // by origin
	names  map[string]string // a witness key's name and id, to its name within the file
	needs  map[string]need   // by name within the file
	quorum string
}

// A need is a group, or a witness: then it has no members.
type need struct {
	count   int
	members []string
}

// A signedTree is a checkpoint whose signatures have been verified.
type signedTree struct {
	tlog.Tree
	origin    string
	witnesses []string
}

func readTrust(text string) (*trust, error) {
	t := &trust{logs: map[string]bool{}, names: map[string]string{}, needs: map[string]need{}}
	var keys []note.Verifier
	member := map[string]bool{}
	for number, line := range strings.Split(text, "\n") {
		words := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' })
		if len(words) == 0 || words[0][0] == '#' {
			continue
		}
		refuse := func(why string) error { return fmt.Errorf("line %d: %s", number+1, why) }
		_, taken := t.needs[pick(words, 1)]
		switch {
		case words[0] == "log" && (len(words) == 2 || len(words) == 3):
			key, err := note.NewVerifier(words[1])
			if err != nil {
				return nil, refuse(err.Error())
			}
			t.logs[key.Name()] = true
			keys = append(keys, key)
		case words[0] == "witness" && (len(words) == 3 || len(words) == 4) && !taken && words[1] != "none":
			key, err := newCosigner(words[2])
			if err != nil {
				return nil, refuse(err.Error())
			}
			t.needs[words[1]] = need{count: 1}
			if key != nil {
				t.names[keyOf(key.name, key.id)] = words[1]
				keys = append(keys, key)
			}
		case words[0] == "group" && len(words) >= 4 && !taken && words[1] != "none":
			group := need{members: words[3:]}
			switch words[2] {
			case "any":
				group.count = 1
			case "all":
				group.count = len(group.members)
			default:
				count, err := strconv.ParseUint(words[2], 10, 16)
				if err != nil {
					return nil, refuse("no threshold")
				}
				group.count = int(count)
			}
			if group.count < 1 || group.count > len(group.members) {
				return nil, refuse("a threshold that cannot be")
			}
			for _, name := range group.members {
				if _, ok := t.needs[name]; !ok || member[name] {
					return nil, refuse("a member that is not defined, or twice")
				}
				member[name] = true
			}
			t.needs[words[1]] = group
		case words[0] == "quorum" && len(words) == 2 && t.quorum == "" && (taken || words[1] == "none"):
			t.quorum = words[1]
		default:
			return nil, refuse("not understood")
		}
	}
	if t.quorum == "" || len(t.logs) == 0 {
		return nil, errors.New("no quorum line or no log")
	}
	t.keys = note.VerifierList(keys...)
	return t, nil
}

func pick(words []string, i int) string {
	if i < len(words) {
		return words[i]
	}
	return ""
}

// check verifies every signature by a known key, wants the log's own among them and, if asked, the quorum.
func (t *trust) check(bytes []byte, wantQuorum bool) (tree signedTree, err error) {
	n, err := note.Open(bytes, t.keys)
	if err != nil {
		return tree, err
	}
	lines := strings.SplitAfter(n.Text, "\n")
	if len(lines) != 4 || lines[3] != "" {
		return tree, errors.New("a checkpoint has three lines")
	}
	tree.origin = strings.TrimSuffix(lines[0], "\n")
	size := strings.TrimSuffix(lines[1], "\n")
	tree.N, err = strconv.ParseInt(size, 10, 48)
	if err != nil || tree.N < 0 || strconv.FormatInt(tree.N, 10) != size {
		return tree, errors.New("no size")
	}
	if tree.Hash, err = tlog.ParseHash(strings.TrimSuffix(lines[2], "\n")); err != nil {
		return tree, err
	}
	present, byTheLog := map[string]bool{}, false
	for _, signature := range n.Sigs {
		if name, ok := t.names[keyOf(signature.Name, signature.Hash)]; ok {
			present[name] = true
			tree.witnesses = append(tree.witnesses, name)
		} else if signature.Name == tree.origin && t.logs[tree.origin] {
			byTheLog = true
		}
	}
	if !byTheLog {
		return tree, errors.New("the log it names did not sign it, or is not known")
	}
	if wantQuorum && t.quorum != "none" && !t.enough(t.quorum, present) {
		return tree, fmt.Errorf("the witnesses %v are no quorum", tree.witnesses)
	}
	return tree, nil
}

func (t *trust) enough(name string, present map[string]bool) bool {
	rule := t.needs[name]
	if rule.members == nil {
		return present[name]
	}
	count := 0
	for _, member := range rule.members {
		if t.enough(member, present) {
			count++
		}
	}
	return count >= rule.count
}

// A cosigner verifies cosignature/v1, which x/mod does not know.
type cosigner struct {
	name string
	id   uint32
	key  ed25519.PublicKey
}

func keyOf(name string, id uint32) string { return fmt.Sprintf("%s+%08x", name, id) }

// newCosigner reads a witness's verifier key; nil for a kind of key that is not verified here.
func newCosigner(text string) (*cosigner, error) {
	parts := strings.SplitN(text, "+", 3)
	if len(parts) != 3 {
		return nil, errors.New("not a verifier key")
	}
	key, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || len(key) < 2 {
		return nil, errors.New("not a verifier key")
	}
	sum := sha256.Sum256(append([]byte(parts[0]+"\n"), key...))
	if hex.EncodeToString(sum[:4]) != parts[1] {
		return nil, errors.New("a key id that is not the key's")
	}
	switch {
	case key[0] == 0x01:
		return nil, errors.New("a log's key on a witness line")
	case key[0] != 0x04:
		return nil, nil
	case len(key) != 1+ed25519.PublicKeySize:
		return nil, errors.New("a key of the wrong length")
	}
	return &cosigner{parts[0], binary.BigEndian.Uint32(sum[:4]), key[1:]}, nil
}

func (c *cosigner) Name() string    { return c.name }
func (c *cosigner) KeyHash() uint32 { return c.id }

// Verify is asked with the three lines of the checkpoint and the field `time || signature`.
func (c *cosigner) Verify(text, field []byte) bool {
	if len(field) != 8+ed25519.SignatureSize {
		return false
	}
	at := binary.BigEndian.Uint64(field)
	if at == 0 || at > math.MaxInt64 || int64(at) > time.Now().Unix()+300 {
		return false
	}
	message := "cosignature/v1\ntime " + strconv.FormatUint(at, 10) + "\n" + string(text)
	return ed25519.Verify(c.key, []byte(message), field[8:])
}
