#!/bin/sh
# What the etcd member at this client port says of itself and its cluster, as one JSON object: {"members", "status", "alarms"}.
# null: no answer within a second. The member list is this member's own: it is there without a quorum too.
port=$1
ask() {
  curl --silent --fail --max-time 1 --cacert {{ca}} --cert {{cert}} --key {{key}} --data "$2" "https://127.0.0.1:$port$1" || printf null
}
members=$(ask /v3/cluster/member/list '{"linearizable":false}')
status=$(ask /v3/maintenance/status '{}')
alarms=$(ask /v3/maintenance/alarm '{"action":"GET"}')
printf '{"members":%s,"status":%s,"alarms":%s}\n' "$members" "$status" "$alarms"
[ "$status" != null ]
