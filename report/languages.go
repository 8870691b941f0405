package report

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"text/template"
	"time"

	"golang.org/x/text/language"
)

//go:embed languages
var languageFiles embed.FS

// Languages holds every word a client reads or hears, one file per language. It is safe for concurrent use.
type Languages struct {
	matcher language.Matcher
	all     []vocabulary // English, which stands in for the others, is the first
}

// vocabulary is one language: named blocks of plain text.
type vocabulary struct {
	tag      string // BCP 47, such as "de"
	provider string // who writes and calls
	blocks   *template.Template
}

// words are the values a block may use.
type words struct {
	Provider             string // the vocabulary's
	Reference            string
	Severity, Incident   string // "high", "high-severity security incident"
	Title                string // harmless already, and on one line
	Revision, Occurrence int
	Drill                bool
	Code                 string
	Host                 string // spelled
	Release              bool
	At                   time.Time
	Change, Fields, By   string // of a contact: "changed", "mail address, channels", "a lead of the SOC"
	Before, After        string // masked
	Accepted             bool   // a risk remains that the client accepts
	Person               string // who accepted it, harmless already and on one line; "" when it is not known
}

// LoadLanguages reads the language files for a provider, by whose name every message and call introduces itself: of at
// most 20 characters of the GSM alphabet. Each file must have the blocks of en.tmpl, no more and no less, and use only
// what blocks are given: the error names language and block.
func LoadLanguages(provider string) (Languages, error) {
	dir, err := fs.Sub(languageFiles, "languages")
	if err != nil {
		return Languages{}, fmt.Errorf("languages: %w", err)
	}
	return readLanguages(dir, provider)
}

func readLanguages(dir fs.FS, provider string) (Languages, error) {
	files, err := fs.Glob(dir, "*.tmpl")
	if err != nil {
		return Languages{}, fmt.Errorf("languages: %w", err)
	}
	files = slices.DeleteFunc(files, func(file string) bool { return file == "en.tmpl" })
	var l Languages
	var tags []language.Tag
	for _, file := range append([]string{"en.tmpl"}, files...) {
		v, err := readVocabulary(dir, file, provider)
		if err != nil {
			return Languages{}, fmt.Errorf("languages: %w", err)
		}
		tag, err := language.Parse(v.tag)
		if err != nil {
			return Languages{}, fmt.Errorf("languages: %s is not named after a language: %w", file, err)
		}
		l.all, tags = append(l.all, v), append(tags, tag)
		if err := v.check(l.all[0]); err != nil {
			return Languages{}, fmt.Errorf("languages: %w", err)
		}
	}
	l.matcher = language.NewMatcher(tags)
	return l, nil
}

func readVocabulary(dir fs.FS, file, provider string) (vocabulary, error) {
	text, err := fs.ReadFile(dir, file)
	if err != nil {
		return vocabulary{}, err
	}
	blocks, err := template.New(file).Parse(string(text))
	if err != nil {
		return vocabulary{}, err
	}
	return vocabulary{tag: strings.TrimSuffix(file, ".tmpl"), provider: provider, blocks: blocks}, nil
}

// check compares the blocks with those of English and writes each once.
func (v vocabulary) check(english vocabulary) error {
	var errs []error
	for _, name := range english.names() {
		if v.blocks.Lookup(name) == nil {
			errs = append(errs, fmt.Errorf("%s lacks the block %q of en", v.tag, name))
		}
	}
	sample := words{Reference: "SI-1000-0001", Severity: "low", Incident: "incident", Title: "title", Drill: true, Code: "000000", Change: "changed", By: "the SOC"}
	for _, name := range v.names() {
		if english.blocks.Lookup(name) == nil {
			errs = append(errs, fmt.Errorf("%s has the block %q, which en has not", v.tag, name))
		} else if _, err := v.write(name, sample); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// names returns the names of the blocks in order.
func (v vocabulary) names() []string {
	var out []string
	for _, t := range v.blocks.Templates() {
		if t.Name() != v.blocks.Name() {
			out = append(out, t.Name())
		}
	}
	slices.Sort(out)
	return out
}

// write returns a block as text, without white space around it. It is never empty.
func (v vocabulary) write(block string, w words) (string, error) {
	t := v.blocks.Lookup(block)
	if t == nil {
		return "", fmt.Errorf("%s has no block %q", v.tag, block)
	}
	w.Provider = v.provider
	var b bytes.Buffer
	if err := t.Execute(&b, w); err != nil {
		return "", err // names file, line and block
	}
	text := strings.TrimSpace(b.String())
	if text == "" {
		return "", fmt.Errorf("%s has an empty block %q", v.tag, block)
	}
	return text, nil
}

// Has reports whether there is a file for a language, whatever its region: the one of German serves "de-AT".
func (l Languages) Has(tag string) bool {
	asked, err := language.Parse(tag)
	if err != nil {
		return false
	}
	base, sure := asked.Base()
	return sure == language.Exact && slices.ContainsFunc(l.all, func(v vocabulary) bool {
		known, _ := language.Make(v.tag).Base()
		return known == base
	})
}

// in returns the vocabulary nearest to the language a client asked for, such as "de-AT".
func (l Languages) in(asked string) vocabulary {
	_, i := language.MatchStrings(l.matcher, asked)
	return l.all[i]
}
