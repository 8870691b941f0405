package api

//go:generate go tool -modfile=../tools/oapi-codegen.mod oapi-codegen -config v1/oapi-codegen.yaml openapi.yaml
//go:generate go tool -modfile=../tools/oapi-codegen.mod oapi-codegen -config client/oapi-codegen.yaml openapi.yaml
