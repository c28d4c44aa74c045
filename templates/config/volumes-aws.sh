#!/bin/sh
# Mounts the volumes of this etcd machine, which host.env names (VOLUME_MAIN, VOLUME_EVENTS). Nothing else of an attached disk is looked at.
#
# A volume gets a file system only if all of this says that nobody ever used it: it can be read, blkid finds nothing on it, its first MiB is
# zeros, and the cluster's store has no record of it (`volumes/ID`, written here once it has a file system). An answer that does not come is
# no answer: then nothing is done, and this is tried again.
set -eu
export LC_ALL=C
VOLUME_MAIN='' VOLUME_EVENTS=''
# shellcheck source=/dev/null
. /etc/slipway/host.env
# shellcheck source=/dev/null
. /usr/local/lib/slipway/store
patience={{patience}}

fail() {
  printf 'slipway-volumes: %s\n' "$*"
  exit 1
}

# record ID: the store knows from now on that this volume is in use.
record() {
  store_has "volumes/$1" && return
  printf '%s %s\n' "$NODE_NAME" "$2" >"/run/slipway-volume-$1"
  store_put "volumes/$1" "/run/slipway-volume-$1"
}

# volume NAME ID: /var/lib/etcd-NAME
volume() {
  home=/var/lib/etcd-$1 id=$2
  if mountpoint -q "$home"; then return; fi
  device=/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_$(printf '%s' "$id" | tr -d -)
  waited=0
  while [ ! -e "$device" ]; do
    [ "$waited" -lt "$patience" ] || fail "volume $id ($1) is not attached: there is no $device"
    sleep 1
    waited=$((waited + 1))
  done
  head -c 1048576 "$device" >/run/slipway-volume-head || fail "volume $id ($1) cannot be read"
  kind=$(blkid -p -o value -s TYPE "$device") || [ $? = 2 ] || fail "blkid cannot tell what is on volume $id ($1)"
  case $kind in
    ext4)
      # Only what the journal of a machine that was cut off leaves, and a size that has grown.
      e2fsck -p "$device" || [ $? -lt 4 ] || fail "the file system of volume $id ($1) is damaged: e2fsck -f $device"
      ;;
    '')
      [ "$(tr -d '\0' </run/slipway-volume-head | wc -c)" = 0 ] ||
        fail "volume $id ($1) holds something that blkid does not know: no file system is made on it"
      recorded=0
      store_has "volumes/$id" || recorded=$?
      case $recorded in
        0) fail "volume $id ($1) has no file system, and the store says that it was in use: its data is lost, and it is left as it is" ;;
        1) ;;
        *) fail 'the store gives no answer' ;;
      esac
      mkfs.ext4 -q -m 0 -L "etcd-$1" "$device" || fail "volume $id ($1): mkfs.ext4 failed"
      ;;
    *) fail "volume $id ($1) holds $kind: not ours" ;;
  esac
  rm -f /run/slipway-volume-head
  record "$id" "$1" || fail "the store does not take the record of volume $id ($1)"
  [ -d "$home" ] || mkdir -m 700 "$home"
  mount -t ext4 -o noatime,nodev,nosuid,noexec "$device" "$home" || fail "volume $id ($1) cannot be mounted at $home"
  resize2fs "$device" >/dev/null 2>&1 || :
  printf 'slipway-volumes: %s is mounted at %s\n' "$id" "$home"
}

[ -n "$VOLUME_MAIN" ] || fail 'host.env names no volume'
volume main "$VOLUME_MAIN"
[ -z "$VOLUME_EVENTS" ] || volume events "$VOLUME_EVENTS"
