# One static binary in an image without a shell or a package manager. Beside it: what it is made of (sbom.json,
# CycloneDX) and the licences of that.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /watchfire ./cmd/watchfire
RUN tools/bom.sh /watchfire /bom

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /watchfire /watchfire
COPY --from=build /bom /src/LICENSE /src/NOTICE /licences/
USER nonroot:nonroot
EXPOSE 8080 8081
ENTRYPOINT ["/watchfire"]
CMD ["api"]
