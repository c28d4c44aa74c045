#!/bin/sh
# Facts of this host that the kubelet must be told, found at each start.
set -eu
mkdir -p /run/slipway/kubelet.d /var/lib/kubelet/pki

# The kubelet rotates its client certificate by moving this link, and refuses to where it finds a plain file (as issued at first).
current=/var/lib/kubelet/pki/kubelet-client-current.pem
if [ -f "$current" ] && [ ! -L "$current" ]; then
  issued=/var/lib/kubelet/pki/kubelet-client-issued.pem
  cp -p "$current" "$issued.new"
  mv -f "$issued.new" "$issued"
  ln -sf "$issued" "$current.new"
  mv -f "$current.new" "$current"
fi

# cgroup v1 is refused unless it is allowed, and only where it is what the host has.
if [ "$(stat -fc %T /sys/fs/cgroup)" = cgroup2fs ]; then
  rm -f /run/slipway/kubelet.d/10-cgroup.conf
else
  printf '%s\n' 'apiVersion: kubelet.config.k8s.io/v1beta1' 'kind: KubeletConfiguration' 'failCgroupV1: false' \
    >/run/slipway/kubelet.d/10-cgroup.conf
fi

# Name servers for pods that use the host's. A resolver on loopback (systemd-resolved, Docker) cannot be reached from a pod.
source=/etc/resolv.conf
[ -s /run/systemd/resolve/resolv.conf ] && source=/run/systemd/resolve/resolv.conf
{
  awk '$1 == "nameserver" && $2 !~ /^(127\.|::1$)/' "$source" | grep . || printf 'nameserver %s\n' {{fallback}}
  awk '$1 == "search"' "$source"
} >/run/slipway/resolv.conf.new
mv -f /run/slipway/resolv.conf.new /run/slipway/resolv.conf
