#!/bin/sh
# Until flanneld may read its node and the node has its range of pod addresses: before that it would exit, or back off for up to 20 s.
until curl --silent --fail --max-time 2 --cacert {{ca}} --cert {{cert}} --key {{key}} "$API_SERVER/api/v1/nodes/$NODE_NAME" |
  grep -q '"podCIDR"'; do
  sleep 0.3
done
