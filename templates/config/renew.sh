#!/bin/sh
# Renews the certificates of this pool's machine, which no CLI knows: daily, those that have less than a third of their year left. The kubelet renews
# its own client certificate, and is who asks here; the agent on the masters approves. Programs read the files again when they change.
set -eu
export LC_ALL=C
current=/var/lib/kubelet/pki/kubelet-client-current.pem work=/run/slipway/renewal
url=$API_SERVER/apis/certificates.k8s.io/v1/certificatesigningrequests
umask 077
mkdir -p "$work"
umask 022

say() { printf 'slipway-renew: %s\n' "$*"; }
api() {
  curl --silent --fail --max-time 10 --cacert {{ca}} --cert "$current" --key "$current" --header 'Content-Type: application/json' "$@"
}

# renew NAME CERT KEY OWNER SIGNER SUBJECT SANS USAGES
renew() {
  # In one file with its key: the kubelet's own.
  [ "$2" != "$3" ] || return 0
  if openssl x509 -in "$2" -noout -checkend {{seconds}} >/dev/null; then return 0; fi
  name=$1 cert=$2 key=$3 owner=$4 signer=$5 usages=$8
  sum=$(sha256sum <"$cert")
  request=slipway-$NODE_NAME-$name-$(printf %.10s "$sum")
  sans=$7
  set -- -new -key "$key" -subj "$6" -out "$work/csr"
  [ -z "$sans" ] || set -- "$@" -addext "subjectAltName=$sans"
  openssl req "$@" || return 1
  printf '{"apiVersion":"certificates.k8s.io/v1","kind":"CertificateSigningRequest","metadata":{"name":"%s"},"spec":{"request":"%s","signerName":"%s","usages":%s}}' \
    "$request" "$(base64 -w0 "$work/csr")" "$signer" "$usages" >"$work/request"
  # It may be there from a run that was cut.
  api --output /dev/null --data-binary "@$work/request" "$url" || api --output /dev/null "$url/$request" || return 1
  tries=0
  while [ "$tries" -lt 60 ]; do
    tries=$((tries + 1))
    answer=$(api "$url/$request" | tr -d '\n')
    case $answer in *'"Denied"'* | *'"Failed"'*) return 1 ;; esac
    issued=$(printf %s "$answer" | sed -n 's/.*"certificate": *"\([A-Za-z0-9+/=]*\)".*/\1/p')
    [ -z "$issued" ] || break
    sleep {{pause}}
  done
  [ -n "$issued" ] || return 1
  rm -f "$work/cert"
  printf %s "$issued" | base64 -d >"$work/cert"
  [ "$(openssl x509 -in "$work/cert" -noout -pubkey)" = "$(openssl pkey -in "$key" -pubout)" ] || return 1
  chown "$owner" "$work/cert"
  cp -p "$work/cert" "$cert.slipway-new"
  mv -fT "$cert.slipway-new" "$cert"
  say "$name is renewed"
}

tried() { renew "$@" || say "$1 is not renewed, and tried again tomorrow"; }

# shellcheck disable=SC2034
each=tried
while :; do
  # Calls: "$each" NAME CERT KEY ..., with this machine's own names in them.
  # shellcheck source=/dev/null
  . {{list}}
  sleep 86400
done
