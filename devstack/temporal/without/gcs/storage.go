// Package storage has no storage: histories are not archived here.
package storage

import (
	"context"
	"errors"

	"google.golang.org/api/option"
)

// ScopeFullControl names no right.
const ScopeFullControl = ""

var errNone = errors.New("there is no such storage here")

// Client finds no buckets.
type Client struct{}

// NewClient always fails.
func NewClient(context.Context, ...option.ClientOption) (*Client, error) { return nil, errNone }

// Bucket returns one that has nothing.
func (*Client) Bucket(string) *BucketHandle { return &BucketHandle{} }

// BucketHandle has nothing.
type BucketHandle struct{}

// BucketAttrs are none.
type BucketAttrs struct{}

// Query is never asked.
type Query struct{ Prefix string }

// Object returns one that is not there.
func (*BucketHandle) Object(string) *ObjectHandle { return &ObjectHandle{} }

// Objects returns none.
func (*BucketHandle) Objects(context.Context, *Query) *ObjectIterator { return &ObjectIterator{} }

// Attrs always fails.
func (*BucketHandle) Attrs(context.Context) (*BucketAttrs, error) { return nil, errNone }

// ObjectHandle is of nothing.
type ObjectHandle struct{}

// ObjectAttrs are of an object.
type ObjectAttrs struct{ Name string }

// NewWriter returns one that always fails.
func (*ObjectHandle) NewWriter(context.Context) *Writer { return &Writer{} }

// NewReader always fails.
func (*ObjectHandle) NewReader(context.Context) (*Reader, error) { return nil, errNone }

// Attrs always fails.
func (*ObjectHandle) Attrs(context.Context) (*ObjectAttrs, error) { return nil, errNone }

// ObjectIterator has nothing.
type ObjectIterator struct{}

// Next always fails.
func (*ObjectIterator) Next() (*ObjectAttrs, error) { return nil, errNone }

// Writer takes nothing.
type Writer struct{}

// Write always fails.
func (*Writer) Write([]byte) (int, error) { return 0, errNone }

// Close always fails.
func (*Writer) Close() error { return errNone }

// CloseWithError always fails.
func (*Writer) CloseWithError(error) error { return errNone }

// Reader has nothing.
type Reader struct{}

// Read always fails.
func (*Reader) Read([]byte) (int, error) { return 0, errNone }

// Close does nothing.
func (*Reader) Close() error { return nil }
