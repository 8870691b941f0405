package v1

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/gin-gonic/gin"

	"github.com/watchfire-mdr/watchfire/api/problem"
	"github.com/watchfire-mdr/watchfire/models"
)

// maxErrors is how many wrong fields one answer names.
const maxErrors = 100

// spec holds the operations of the API's document by their routes as gin writes them.
type spec struct {
	routes  map[string]*routers.Route
	options openapi3filter.Options
}

func readSpec(document []byte) (*spec, error) {
	doc, err := openapi3.NewLoader().LoadFromData(document)
	if err != nil {
		return nil, err
	}
	s := &spec{routes: map[string]*routers.Route{}, options: validation()}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			s.routes[method+" "+ginPath(path)] = &routers.Route{Spec: doc, Path: path, PathItem: item, Method: method, Operation: op}
		}
	}
	return s, nil
}

// validation returns how parameters are validated; validateBody does bodies, whose work it bounds.
func validation() openapi3filter.Options {
	return openapi3filter.Options{
		MultiError: true, SkipSettingDefaults: true, ExcludeRequestBody: true, SchemaValidationOptions: formats(),
		AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, // identify has authenticated the sender
	}
}

func formats() []openapi3.SchemaValidationOption {
	moment := openapi3.NewCallbackValidator(checkMoment)
	span := openapi3.NewCallbackValidator(func(s string) error { return new(models.Duration).UnmarshalText([]byte(s)) })
	return []openapi3.SchemaValidationOption{
		openapi3.WithStringFormatValidator("date-time", moment), openapi3.WithStringFormatValidator("go-duration", span),
	}
}

// errMoment is the error for a text that is not a moment.
var errMoment = errors.New("not a moment")

// checkMoment refuses a text that has the form of a time but names none, such as 30 February. It also refuses years
// that a person cannot mean, because such a time could not be written in every time zone.
func checkMoment(s string) error {
	at, err := time.Parse(time.RFC3339, s)
	if err != nil || at.Year() < 1900 || at.Year() > 2999 {
		return errMoment
	}
	return nil
}

func ginPath(path string) string {
	return strings.NewReplacer("{", ":", "}", "").Replace(path)
}

// operation returns the operation of a request's route, or nil.
func (s *spec) operation(c *gin.Context) *routers.Route {
	return s.routes[c.Request.Method+" "+c.FullPath()]
}

// validate checks parameters and body against the document.
func (s *server) validate(c *gin.Context) {
	params := map[string]string{}
	for _, p := range c.Params {
		params[p.Key] = p.Value
	}
	op := s.spec.operation(c)
	if unknown := unknownParameters(op, c.Request.URL); len(unknown) > 0 {
		s.answerProblem(c, problem.New(http.StatusBadRequest, "The request is not valid.", unknown...))
		return
	}
	ctx, who := callerOf(c)
	err := openapi3filter.ValidateRequest(ctx, &openapi3filter.RequestValidationInput{
		Request: c.Request, PathParams: params, Route: op, Options: &s.spec.options,
	})
	var all openapi3.MultiError
	if err != nil && !errors.As(err, &all) {
		s.refuseUnreadable(c, err)
		return
	}
	if err := validateBody(op.Operation.RequestBody, who, s.isForeign(c)); err != nil {
		all = append(all, &openapi3filter.RequestError{Err: err})
	}
	if len(all) > 0 {
		s.answerProblem(c, problemOf(all))
	}
}

// validateBody checks a body against the document. Of one with many values it returns the first error only: one for each
// wrong value would take hundreds of times as much memory as the value. Of a foreign event it checks that it is one.
func validateBody(as *openapi3.RequestBodyRef, who caller, foreign bool) error {
	switch {
	case as == nil, len(who.body) == 0 && !as.Value.Required:
		return nil
	case len(who.body) == 0:
		return openapi3filter.ErrInvalidRequired
	}
	var value any = map[string]any{}
	if !foreign || bytes.TrimSpace(who.body)[0] != '{' {
		dec := json.NewDecoder(bytes.NewReader(who.body))
		dec.UseNumber()
		if err := dec.Decode(&value); err != nil {
			return err
		}
	}
	options := append(formats(), openapi3.VisitAsRequest())
	if who.values <= manyValues {
		options = append(options, openapi3.MultiErrors())
	}
	return as.Value.Content.Get("application/json").Schema.Value.VisitJSON(value, options...)
}

// unknownParameters names the parameters in a query that the operation does not have: a misspelt filter must not look
// like no filter.
func unknownParameters(op *routers.Route, u *url.URL) []problem.FieldError {
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return []problem.FieldError{{Pointer: "", Detail: "the query cannot be read"}}
	}
	var unknown []problem.FieldError
	for _, key := range slices.Sorted(maps.Keys(query)) {
		if op.Operation.Parameters.GetByInAndName(openapi3.ParameterInQuery, key) == nil && len(unknown) < maxErrors {
			unknown = append(unknown, problem.FieldError{Pointer: "/" + escapePointer(key), Detail: "is not a parameter of this operation"})
		}
	}
	return unknown
}

// problemOf makes one problem of all errors of the validator. A wrong path is not found, a wrong parameter or a missing
// body is a bad request, and each wrong field has an error that points at it.
func problemOf(all openapi3.MultiError) problem.Problem {
	var params, fields []problem.FieldError
	for _, err := range all {
		var wrong *openapi3filter.RequestError
		if !errors.As(err, &wrong) {
			continue
		}
		switch p := wrong.Parameter; {
		case p != nil && p.In == openapi3.ParameterInPath:
			return problem.New(http.StatusNotFound, "It does not exist, or you may not see it.")
		case p != nil:
			params = append(params, problem.FieldError{Pointer: "/" + escapePointer(p.Name), Detail: describeParameter(wrong)})
		default:
			fields = append(fields, collectFields(wrong.Err)...)
			if errors.Is(wrong.Err, openapi3filter.ErrInvalidRequired) {
				params = append(params, problem.FieldError{Pointer: "", Detail: "a body is required"})
			}
		}
	}
	if len(params) > 0 {
		return problem.New(http.StatusBadRequest, "The request is not valid.", params...)
	}
	if len(fields) == 0 {
		return problem.New(http.StatusBadRequest, "The request cannot be read.")
	}
	return invalidRequest(fields...)
}

func invalidRequest(fields ...problem.FieldError) problem.Problem {
	return problem.New(http.StatusUnprocessableEntity, "The request is not valid.", fields[:min(len(fields), maxErrors)]...)
}

func describeParameter(wrong *openapi3filter.RequestError) string {
	if errors.Is(wrong.Err, openapi3filter.ErrInvalidRequired) {
		return "is required"
	}
	if found := collectFields(wrong.Err); len(found) > 0 {
		return found[0].Detail
	}
	return "is not valid"
}

// collector gathers the wrong fields from nested errors of a schema, each once.
type collector struct {
	fields []problem.FieldError
	seen   map[string]bool
}

func collectFields(err error) []problem.FieldError {
	c := collector{seen: map[string]bool{}}
	c.visit(err)
	slices.SortStableFunc(c.fields, func(a, b problem.FieldError) int { return strings.Compare(a.Pointer, b.Pointer) })
	return c.fields
}

func (c *collector) visit(err error) {
	var all openapi3.MultiError
	var one *openapi3.SchemaError
	switch {
	case len(c.fields) >= maxErrors:
	case errors.As(err, &all):
		for _, e := range all {
			c.visit(e)
		}
	case errors.As(err, &one):
		c.schema(one)
	}
}

func (c *collector) schema(e *openapi3.SchemaError) {
	pointer := ""
	for _, part := range e.JSONPointer() {
		pointer += "/" + escapePointer(part)
	}
	if e.SchemaField == "properties" {
		c.unknown(pointer, e)
		return
	}
	c.add(pointer, describeSchemaError(e))
}

// unknown adds the fields of an object that its schema does not have. The validator reports each of them with the whole
// object, so the first report is enough.
func (c *collector) unknown(pointer string, e *openapi3.SchemaError) {
	if c.seen[pointer+"/"] {
		return
	}
	c.seen[pointer+"/"] = true
	object, _ := e.Value.(map[string]any)
	for _, key := range slices.Sorted(maps.Keys(object)) {
		if _, known := e.Schema.Properties[key]; !known {
			c.add(pointer+"/"+escapePointer(key), "is not a field of this object")
		}
	}
}

func (c *collector) add(pointer, detail string) {
	if c.seen[pointer] || len(c.fields) >= maxErrors {
		return
	}
	c.seen[pointer] = true
	c.fields = append(c.fields, problem.FieldError{Pointer: pointer, Detail: detail})
}

// describeSchemaError says what is wrong with a value without repeating the value.
func describeSchemaError(e *openapi3.SchemaError) string {
	s := e.Schema
	switch e.SchemaField {
	case "required":
		return "is required"
	case "nullable":
		return "must not be null"
	case "type":
		return "must be of type " + strings.Join(s.Type.Slice(), " or ")
	case "enum":
		return "must be one of " + joinValues(s.Enum)
	case "minLength":
		if s.MinLength == 1 {
			return "must not be empty"
		}
		return fmt.Sprintf("must have at least %d characters", s.MinLength)
	case "maxLength":
		return fmt.Sprintf("must have at most %d characters", *s.MaxLength)
	case "minItems":
		return fmt.Sprintf("must have at least %d entries", s.MinItems)
	case "maxItems":
		return fmt.Sprintf("must have at most %d entries", *s.MaxItems)
	case "maxProperties":
		return fmt.Sprintf("must have at most %d fields", *s.MaxProps)
	case "minProperties":
		return "must have at least one field"
	case "minimum":
		return fmt.Sprintf("must be at least %.0f", *s.Min)
	case "maximum":
		return fmt.Sprintf("must be at most %.0f", *s.Max)
	case "uniqueItems":
		return "must not hold an entry twice"
	case "format", "pattern":
		return "does not have the form it should have"
	}
	return "is not valid"
}

func joinValues(values []any) string {
	var names []string
	for _, v := range values {
		names = append(names, fmt.Sprint(v))
	}
	return strings.Join(names, ", ")
}
