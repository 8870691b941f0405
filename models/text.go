package models

import (
	"fmt"
	"reflect"
	"strings"
	"unicode"
	"unicode/utf8"
)

// IsBlank reports whether a text shows nothing: it has no letter, digit, punctuation mark or symbol that is visible.
func IsBlank(s string) bool { return !strings.ContainsFunc(s, isVisible) }

// braille is the Braille pattern without dots: a symbol that shows nothing.
const braille = '\u2800'

func isVisible(r rune) bool {
	return unicode.In(r, unicode.L, unicode.N, unicode.P, unicode.S) && !unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r) &&
		r != braille && r != utf8.RuneError
}

// steers reports whether a character does something to the text around it instead of being a part of it: it controls,
// ends a line, or turns the direction in which the text is read.
func steers(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp, unicode.Bidi_Control)
}

// joins reports whether a character without a look of its own decides the look of its neighbours: Persian is misspelt
// without the non-joiner, and emoji fall apart without the joiner.
func joins(r rune) bool { return r == '\u200C' || r == '\u200D' }

// CheckTexts checks every text in the value of a request: one that is there has a visible character, and no character
// that controls or turns the direction of the text. A field tagged `text:"lines"` may hold line feeds and tabs. It looks
// into structs, lists, maps and pointers; pointers to fields are made of the fields' names in JSON. The error is Invalid.
func CheckTexts(v any) error { return checkTexts("", reflect.ValueOf(v), false) }

func checkTexts(at string, v reflect.Value, lines bool) error {
	switch v.Kind() {
	case reflect.String:
		return checkShape(at, v.String(), lines)
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			return checkTexts(at, v.Elem(), lines)
		}
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return nil // an id or bytes, not a text
		}
		for n := range v.Len() {
			if err := checkTexts(fmt.Sprintf("%s/%d", at, n), v.Index(n), lines); err != nil {
				return err
			}
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			if err := checkTexts(at+"/"+key.String(), v.MapIndex(key), lines); err != nil {
				return err
			}
		}
	case reflect.Struct:
		return checkFields(at, v)
	}
	return nil
}

func checkFields(at string, v reflect.Value) error {
	for n := range v.NumField() {
		f := v.Type().Field(n)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() || name == "-" {
			continue
		}
		below := at
		if name != "" {
			below += "/" + name
		}
		if err := checkTexts(below, v.Field(n), f.Tag.Get("text") == "lines"); err != nil {
			return err
		}
	}
	return nil
}

// checkShape checks one text. "" is no text, and whether it is needed is another question.
func checkShape(pointer, s string, lines bool) error {
	switch {
	case s == "":
		return nil
	case lines && strings.ContainsFunc(s, func(r rune) bool { return steers(r) && r != '\n' && r != '\t' }):
		return InvalidField(pointer, "must not hold control or direction characters other than line feed and tab")
	case !lines && strings.ContainsFunc(s, steers):
		return InvalidField(pointer, "must be one line without control or direction characters")
	case IsBlank(s):
		return InvalidField(pointer, "must not be blank")
	}
	return nil
}

// CleanLine makes a text of anybody fit for one line of at most limit characters, such as a header or a heading. Runs
// of white space, line ends and control characters become one space; what cannot be seen is dropped, but for joiners
// within the text. Nothing visible becomes "".
func CleanLine(s string, limit int) string {
	var b strings.Builder
	runes, gap, seen := 0, false, false
	for _, r := range strings.ToValidUTF8(s, "") {
		if unicode.IsSpace(r) || unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp) {
			gap = runes > 0
			continue
		}
		if !unicode.IsPrint(r) && !joins(r) || r == utf8.RuneError {
			continue
		}
		width := 1
		if gap {
			width = 2
		}
		if runes += width; runes > limit {
			break
		}
		if gap {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
		gap, seen = false, seen || isVisible(r)
	}
	if !seen {
		return ""
	}
	return b.String()
}

// CleanText makes a text of anybody fit to be kept and shown as lines: valid, without control and direction characters
// other than line feed and tab, and without white space around it.
func CleanText(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t':
			return r
		case unicode.In(r, unicode.Zl, unicode.Zp):
			return '\n'
		case steers(r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	if IsBlank(s) {
		return ""
	}
	return strings.TrimSpace(s)
}
