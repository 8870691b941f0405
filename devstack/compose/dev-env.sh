#!/bin/sh
# Writes .env for profile dev of docker-compose.yml: fresh passwords, keysets and tokens, and the simulated vendors'
# addresses. Needs Docker alone: the product's own image, which it builds, makes the keys. An .env that is there stays.
set -eu
cd "$(dirname "$0")/../.."

if [ -e .env ] || [ -L .env ]; then
  echo "dev-env: there is an .env already: use it, or remove it and what was made with it (docker compose down --volumes)" >&2
  exit 1
fi
docker build --tag watchfire:local .
settings=$(docker run --rm --network none watchfire:local simulators env)
umask 077
set -C # never over a file that came meanwhile
printf '%s\n' "$settings" >.env
echo "dev-env: .env is written; docker compose up starts Watchfire with simulated vendors"
