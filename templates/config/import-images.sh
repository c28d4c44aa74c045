#!/bin/sh
# Imports the archives whose image containerd does not have yet. A layer is unpacked when its first container starts: most hosts run
# only a few of them. Pinned, because the kubelet would otherwise remove what no registry can give back.
set -eu
ctr={{ctr}}
have=$("$ctr" --namespace k8s.io images list --quiet)
import() {
  case "
$have
" in *"
$1
"*) return ;; esac
  "$ctr" --namespace k8s.io images import --no-unpack --label io.cri-containerd.pinned=pinned "$2" >/dev/null
}
{{imports}}
