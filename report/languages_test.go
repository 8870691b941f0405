package report

import (
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/text/language"
)

// files returns the language files of the product, to be changed.
func files(t *testing.T) fstest.MapFS {
	t.Helper()
	out := fstest.MapFS{}
	for _, name := range []string{"en.tmpl", "de.tmpl"} {
		text, err := fs.ReadFile(languageFiles, "languages/"+name)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = &fstest.MapFile{Data: text}
	}
	return out
}

func TestLanguageFilesAreChecked(t *testing.T) {
	const goodbye = `{{define "say/goodbye"}}Auf Wiederhören.{{end}}`
	for name, c := range map[string]struct {
		change func(fstest.MapFS)
		want   []string
	}{
		"a block is missing": {replace("de.tmpl", goodbye, ""), []string{`de lacks the block "say/goodbye"`}},
		"a block too many":   {replace("de.tmpl", goodbye, goodbye+`{{define "say/hello"}}Hallo{{end}}`), []string{`de has the block "say/hello"`}},
		"a misspelt name": {
			replace("de.tmpl", `"say/goodbye"`, `"say/godbye"`),
			[]string{`de lacks the block "say/goodbye"`, `de has the block "say/godbye"`},
		},
		"an empty block":       {replace("de.tmpl", "Auf Wiederhören.{{end}}\n", " {{end}}\n"), []string{`de has an empty block "say/`}},
		"an unknown word":      {replace("de.tmpl", `lautet {{.Code}}. Er`, `lautet {{.Cod}}. Er`), []string{"de.tmpl", `"mail/code"`, "Cod"}},
		"an unknown word, en":  {replace("en.tmpl", "{{.Title}}", "{{.Client}}"), []string{"en.tmpl", `"subject"`, "Client"}},
		"a block not closed":   {replace("de.tmpl", goodbye, `{{define "say/goodbye"}}`), []string{"de.tmpl"}},
		"a block twice":        {replace("de.tmpl", goodbye, goodbye+goodbye), []string{"de.tmpl", `"say/goodbye"`}},
		"no such language":     {func(f fstest.MapFS) { f["german.tmpl"] = f["de.tmpl"] }, []string{"german.tmpl is not named after a language"}},
		"English is not there": {func(f fstest.MapFS) { delete(f, "en.tmpl") }, []string{"en.tmpl"}},
		"a further language":   {func(f fstest.MapFS) { f["nl.tmpl"] = f["de.tmpl"] }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := files(t)
			c.change(f)
			_, err := readLanguages(f, "Nordlicht SOC")
			if (err != nil) != (c.want != nil) {
				t.Fatalf("got error %v", err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not say %s:\n%v", want, err)
				}
			}
		})
	}
}

func replace(file, old, with string) func(fstest.MapFS) {
	return func(f fstest.MapFS) {
		text := strings.ReplaceAll(string(f[file].Data), old, with)
		if text == string(f[file].Data) {
			panic(file + " has no " + old)
		}
		f[file] = &fstest.MapFile{Data: []byte(text)}
	}
}

func TestFurtherLanguageIsChosen(t *testing.T) {
	f := files(t)
	replace("de.tmpl", "de-DE", "nl-NL")(f)
	f["nl.tmpl"] = f["de.tmpl"]
	f["de.tmpl"] = files(t)["de.tmpl"]
	l, err := readLanguages(f, "Nordlicht SOC")
	if err != nil {
		t.Fatal(err)
	}
	for asked, want := range map[string]string{"nl-BE": "nl-NL", "de-AT": "de-DE", "it": "en-US"} {
		if s, err := l.Sentence(asked, "over"); err != nil || s.Language != want {
			t.Errorf("%s: %q, %v; want %s", asked, s.Language, err, want)
		}
	}
}

func TestOnlyLanguagesWithAFileAreSpoken(t *testing.T) {
	l, err := LoadLanguages("Nordlicht SOC")
	if err != nil {
		t.Fatal(err)
	}
	for tag, want := range map[string]bool{
		"en": true, "en-GB": true, "de": true, "de-AT": true, "DE": true, "de-Latn-CH": true,
		"fr": false, "gsw": false, "nds": false, "und": false, "mul": false, "en_": false, "": false, "xx": false,
	} {
		if l.Has(tag) != want {
			t.Errorf("%q: %v, want %v", tag, !want, want)
		}
	}
}

// Blocks that may be the same in another language: they hold no word of their own.
var sameInAll = []string{"subject", "sms/published"}

func TestEverythingIsTranslated(t *testing.T) {
	l, err := LoadLanguages("Nordlicht SOC")
	if err != nil {
		t.Fatal(err)
	}
	english := l.all[0]
	for _, v := range l.all[1:] {
		for _, name := range v.names() {
			same := v.blocks.Lookup(name).Root.String() == english.blocks.Lookup(name).Root.String()
			if same && !slices.Contains(sameInAll, name) {
				t.Errorf("%s: the block %q is the English one", v.tag, name)
			}
		}
	}
}

func TestVoicesSpeakTheirLanguage(t *testing.T) {
	l, err := LoadLanguages("Nordlicht SOC")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range l.all {
		s, err := l.Sentence(v.tag, "goodbye")
		if err != nil {
			t.Fatal(err)
		}
		voice, err := language.Parse(s.Language)
		if err != nil {
			t.Fatalf("%s: %v", v.tag, err)
		}
		spoken, _ := voice.Base()
		if written, _ := language.MustParse(v.tag).Base(); spoken != written {
			t.Errorf("%s is read by the voice %s", v.tag, voice)
		}
	}
}
