#!/bin/sh
# Gives containerd the images that came with the host and that it does not have yet. A layer is unpacked when its first container starts:
# most hosts run only a few of them. Pinned, because the kubelet would otherwise remove what no registry can give back.
set -eu
ctr={{ctr}}
state=/var/lib/containerd
have=$("$ctr" --namespace k8s.io images list --quiet)

# An archive's blobs have the names that they have in containerd's content store. Put there by rename, they need not pass through its API
# piece by piece, which is most of the cost of an import. Where that fails, the import itself brings them.
place() {
  rm -rf "$state/slipway-import"
  mkdir -p "$state/slipway-import" "$state/io.containerd.content.v1.content/blobs/sha256"
  tar -C "$state/slipway-import" -xf "$1" blobs && mv -n "$state"/slipway-import/blobs/sha256/* "$state/io.containerd.content.v1.content/blobs/sha256/"
  rm -rf "$state/slipway-import"
}

import() {
  case "
$have
" in *"
$1
"*) return ;; esac
  place "$2" || true
  "$ctr" --namespace k8s.io images import --local --no-unpack --label io.cri-containerd.pinned=pinned "$2" >/dev/null
}
{{imports}}
