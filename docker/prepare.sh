#!/bin/sh
# Makes what compose.yaml expects beside it, and leaves alone what is there: the password of the database, and the folder for
# backups. As root, since the folder belongs to the user of the containers.
set -eu
cd "$(dirname "$0")"
# Nobody but root gets into the folder. The file in it can be read by all, because Docker hands it to containers as it is.
install --directory --mode=700 secrets
if [ ! -s secrets/postgres_password ]; then
	head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n' > secrets/postgres_password
fi
chmod 644 secrets/postgres_password
install --directory --mode=700 --owner=10001 --group=10001 backups
