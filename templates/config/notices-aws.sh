#!/bin/sh
# AWS tells a spot machine, and only in its own metadata, that it is going to be taken away in two minutes. Its Node then says so, by the
# kubelet's own identity (which may change this Node and no other); the agent on the masters drains it.
set -eu
# shellcheck source=/dev/null
. /usr/local/lib/slipway/store
current=/var/lib/kubelet/pki/kubelet-client-current.pem
tell() {
  curl --silent --fail --output /dev/null --max-time 5 --cacert {{ca}} --cert "$current" --key "$current" --request PATCH \
    --header 'Content-Type: application/merge-patch+json' --data "{\"metadata\":{\"annotations\":{\"{{annotation}}\":\"$1\"}}}" \
    "$API_SERVER/api/v1/nodes/$NODE_NAME?fieldManager=slipway-notices"
}
while :; do
  # A session lives an hour; asking for one each time costs a millisecond.
  if metadata_open && answer=$(metadata meta-data/spot/instance-action 2>/dev/null); then
    at=$(printf '%s' "$answer" | sed -n 's/.*"time" *: *"\([0-9TZ:.-]*\)".*/\1/p')
    if tell "spot machine, taken away at ${at:-an unknown time}"; then
      echo "told: $answer"
      sleep 600
    fi
  fi
  sleep 5
done
