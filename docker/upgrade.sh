#!/bin/sh
# Brings the services to what .env and this folder say, one at a time: phones reconnect by themselves, desks send again what was
# not confirmed. Stops at the first one that is not well afterwards; those that were not reached yet still run as before.
set -eu
cd "$(dirname "$0")"
docker compose run --rm backup
docker compose run --rm setup
for service in broker archiver webapp; do
	docker compose up --detach --no-deps --wait "$service"
done
docker compose up --detach --no-deps caddy
