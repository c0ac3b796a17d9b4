#!/bin/sh
# Lays out what the image holds: docker/image.sh EXECUTABLE FOLDER. `files` is for everybody to read, `owned` is the program's.
set -eu
executable=$1
folder=$2
rm -rf "$folder"
install -D --mode=755 "$executable" "$folder/files/usr/bin/pika"
install -D --mode=644 /etc/ssl/certs/ca-certificates.crt "$folder/files/etc/ssl/certs/ca-certificates.crt"
mkdir -p "$folder/files/usr/share"
cp -R /usr/share/zoneinfo "$folder/files/usr/share/zoneinfo"
echo 'pika:x:10001:10001::/data:/usr/bin/pika' > "$folder/files/etc/passwd"
echo 'pika:x:10001:' > "$folder/files/etc/group"
# New volumes begin with what the image has at their place, so they belong to the program.
install -d --mode=700 "$folder/owned/data" "$folder/owned/logins"
