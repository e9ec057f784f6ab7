# The first process of a lab host: builds its file system, changes into it, starts its ssh server.
#   sh host.sh LEVEL FOLDER NAME SSHD [PLACE...]
# It runs in namespaces of its own. PLACEs are folders of this machine that the host sees, read only.
set -eu
level=$1 folder=$2 name=$3 sshd=$4
shift 4

device_files() {
  mount -t tmpfs -o mode=755,size=4m dev dev
  mkdir dev/pts dev/shm
  for device in null zero full random urandom tty; do
    : >"dev/$device"
    mount --bind "/dev/$device" "dev/$device"
  done
  ln -s /proc/self/fd dev/fd
}

terminals() { # OPTIONS
  mount -t devpts -o "newinstance,ptmxmode=666,mode=620$1" devpts dev/pts
}

memory_folders() {
  mount -t tmpfs -o mode=755,size=64m run run
  mkdir -p run/sshd
  mount -t tmpfs -o mode=1777 tmp tmp
}

open_way() { # FOLDER: let anyone walk to it
  way=${1%/*}
  while [ "$way" != . ]; do
    chmod a+rx "$way"
    way=${way%/*}
  done
}

card() { # FILE: its storage, mounted once; a host that ended a moment ago may still have it
  turns=500
  while [ -n "$(losetup --associated "$1")" ]; do
    turns=$((turns - 1))
    [ "$turns" -gt 0 ]
    sleep 0.02
  done
  mkdir -p mnt
  mount -o loop,noatime,noinit_itable "$1" mnt # The device goes with the mount, come what may.
  device=$(losetup --noheadings --output NAME --associated "$1")
  losetup --direct-io=on "$device" || true # Else this machine caches it a second time.
  mount --bind mnt/pi home/pi
}

umask 022
mount --make-rprivate /
cd "$folder"
if [ "$level" = root ]; then
  mount -t overlay overlay -o lowerdir=/,upperdir=disk,workdir=work,volatile root
  cd root
  mount -t sysfs -o ro sysfs sys
  device_files
  terminals ,gid=5
  ln -s pts/ptmx dev/ptmx
  mount -t tmpfs -o mode=1777,size=64m shm dev/shm
  [ ! -e "$folder/card.img" ] || card "$folder/card.img"
else
  mount --rbind / root
  mount -o remount,bind,ro root
  cd root
  terminals ""
  mount --bind dev/pts/ptmx dev/ptmx
  mount -t tmpfs -o mode=755 home home
  mkdir home/pi
  mount --bind "$folder/disk/home/pi" home/pi
  for own in passwd group hosts hostname machine-id ssh; do
    [ ! -e "etc/$own" ] || mount --bind "$folder/disk/etc/$own" "etc/$own"
  done
fi
mount -t proc proc proc
memory_folders
for place; do
  mkdir -p ".$place"
  [ "$level" != root ] || open_way ".$place"
  mount --bind "$place" ".$place"
  mount -o remount,bind,ro ".$place"
done
hostname "$name"
mkdir -p run/old
pivot_root . run/old
cd /
umount -l /run/old
rmdir /run/old

[ "$level" = root ] || set -- unshare --user --map-user=1000 --map-group=1000
[ "$level" != root ] || set --
# As the first process it inherits the children of those that end, and buries them while it waits.
exec sh -c '
  unset EDGESPLIT_LAB_INIT
  "$@" -D -e -f /etc/ssh/sshd_config &
  while :; do
    sleep infinity &
    wait
  done
' "$name" "$@" "$sshd"
