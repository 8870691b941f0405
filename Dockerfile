# One static binary in an image without a shell or a package manager.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /watchfire ./cmd/watchfire

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /watchfire /watchfire
USER nonroot:nonroot
EXPOSE 8080 8081
ENTRYPOINT ["/watchfire"]
CMD ["api"]
