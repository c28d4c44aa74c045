#!/bin/sh
# Asks for a client certificate as a kubelet does when its own runs out, in the name of node $1, and prints what it gets; $2: for how many seconds.
# Ends with 1 when the API refuses or nobody signs.
set -eu
# shellcheck disable=SC1091  # only there
. /etc/slipway/host.env
directory=/run/renewed-$1
rm -rf "$directory"
mkdir -m 700 "$directory"
cd "$directory"
ask() { curl --silent --show-error --fail --max-time 20 --cacert /etc/slipway/pki/kubernetes.ca.pem --cert "$@"; }
requests=$API_SERVER/apis/certificates.k8s.io/v1/certificatesigningrequests
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -subj "/O=system:nodes/CN=system:node:$1" -out request.pem 2>/dev/null
cat >body.json <<JSON
{"apiVersion":"certificates.k8s.io/v1","kind":"CertificateSigningRequest","metadata":{"name":"renewal-$1"},
 "spec":{"signerName":"kubernetes.io/kube-apiserver-client-kubelet","usages":["digital signature","client auth"],"expirationSeconds":$2,"request":"$(base64 -w0 request.pem)"}}
JSON
current=/var/lib/kubelet/pki/kubelet-client-current.pem
ask "$current" --header 'content-type: application/json' --data @body.json --output created.json "$requests"
tries=100
until ask "$current" "$requests/renewal-$1" | sed -n 's/.*"certificate": *"\([^"]*\)".*/\1/p' | base64 -d >certificate.pem && [ -s certificate.pem ]; do
  tries=$((tries - 1))
  [ "$tries" -gt 0 ] || { echo "nobody signed renewal-$1" >&2; exit 1; }
  sleep 0.3
done
# It is good for what a kubelet does.
ask certificate.pem --key key.pem --output node.json "$API_SERVER/api/v1/nodes/$1"
cat certificate.pem
