package edr

import (
	"errors"
	"regexp"
	"slices"
	"strings"
)

// trendFilter is a filter of Vision One: field eq 'value', joined by and, or, not and parentheses. A value is matched
// to the letter: the reference does not say so, nor otherwise.
type trendFilter struct {
	matches func(value func(field string) string) bool
	asked   map[string][]string // the values in its comparisons, by field
}

var trendToken = regexp.MustCompile(`^\s*(\(|\)|'[^'\\]*'|[A-Za-z]+)`)

var errTrendFilter = errors.New("it is not an expression")

// parseTrendFilter reads a filter over these fields; "" lets everything through.
func parseTrendFilter(text string, fields ...string) (trendFilter, error) {
	p := &trendParser{fields: fields, asked: map[string][]string{}}
	if len(text) > 1024 {
		return trendFilter{}, errors.New("it is too long")
	}
	for rest := text; strings.TrimSpace(rest) != ""; {
		m := trendToken.FindStringSubmatch(rest)
		if m == nil {
			return trendFilter{}, errTrendFilter
		}
		p.tokens, rest = append(p.tokens, m[1]), rest[len(m[0]):]
	}
	if len(p.tokens) == 0 {
		return trendFilter{matches: func(func(string) string) bool { return true }}, nil
	}
	match, err := p.parseExpression()
	if err == nil && len(p.tokens) > 0 {
		err = errTrendFilter
	}
	return trendFilter{matches: match, asked: p.asked}, err
}

type trendMatch = func(value func(field string) string) bool

type trendParser struct {
	tokens []string
	fields []string
	asked  map[string][]string
}

func (p *trendParser) nextToken() string {
	if len(p.tokens) == 0 {
		return ""
	}
	token := p.tokens[0]
	p.tokens = p.tokens[1:]
	return token
}

// parseExpression reads terms joined by one kind of word: Trend does not document which of two kinds
// binds closer.
func (p *trendParser) parseExpression() (trendMatch, error) {
	left, err := p.parseTerm()
	joined := ""
	for err == nil && len(p.tokens) > 0 && (p.tokens[0] == "and" || p.tokens[0] == "or") {
		word := p.nextToken()
		if joined != "" && word != joined {
			return nil, errors.New("and beside or needs parentheses")
		}
		joined = word
		a := left
		var b trendMatch
		if b, err = p.parseTerm(); word == "and" {
			left = func(v func(string) string) bool { return a(v) && b(v) }
		} else {
			left = func(v func(string) string) bool { return a(v) || b(v) }
		}
	}
	return left, err
}

func (p *trendParser) parseTerm() (trendMatch, error) {
	switch field := p.nextToken(); {
	case field == "not":
		inner, err := p.parseTerm()
		return func(v func(string) string) bool { return !inner(v) }, err
	case field == "(":
		inner, err := p.parseExpression()
		if err == nil && p.nextToken() != ")" {
			err = errTrendFilter
		}
		return inner, err
	case slices.Contains(p.fields, field):
		eq, literal := p.nextToken(), p.nextToken()
		if eq != "eq" || len(literal) < 2 || literal[0] != '\'' {
			return nil, errTrendFilter
		}
		want := literal[1 : len(literal)-1]
		p.asked[field] = append(p.asked[field], want)
		return func(v func(string) string) bool { return v(field) == want }, nil
	}
	return nil, errors.New("it has an unknown field")
}
