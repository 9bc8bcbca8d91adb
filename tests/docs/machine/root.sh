# Makes an empty machine in namespaces of its own and becomes its first process: `root.sh SHARED PROGRAM
# REPOSITORY WHO`. SHARED is a folder of the test's, PROGRAM what was built, REPOSITORY this one, and WHO is
# root where the test is.
#
# The machine has the programs and libraries of this one, read-only, and otherwise nothing: /etc, /var,
# /run, /tmp, /usr/bin and /usr/local are its own and gone with it. /harness is SHARED.
set -euo pipefail
shared=$1 program=$2 repository=$3
here=$repository/tests/docs/machine

if [ "$4" = root ]; then is_root=yes; else is_root=; fi
bind() {
  mount --rbind "$1" "$2"
  # Who is not root on this machine cannot write there anyway.
  if [ "$is_root" ]; then mount -o remount,bind,ro "$2"; fi
}

[ -x /usr/bin/python3 ] || { echo "there is no /usr/bin/python3 here: install python3" >&2; exit 1; }
root=$shared/root
mkdir "$root"
mount -t tmpfs -o mode=755 machine "$root"
cd "$root"
mkdir -p dev etc/systemd/system harness home host/{bin,sbin} proc root/appproxy/target/x86_64-unknown-linux-gnu/release
mkdir -p run/systemd/system tmp usr/{bin,sbin} usr/local/{bin,sbin} var/{lib,log,tmp}
chmod 1777 tmp var/tmp
chmod 755 root

# Programs are links, so that there is room for those of a package.
for folder in bin sbin; do
  if ! [ -L /usr/$folder ]; then
    bind "/usr/$folder" "host/$folder"
    (cd "/usr/$folder" && printf "/host/$folder/%s\\0" *) | xargs -0 ln -s -t "usr/$folder"
  fi
done
for folder in /usr/*; do
  case ${folder##*/} in bin | sbin | local | src) continue ;; esac
  if [ -L "$folder" ]; then
    cp -P "$folder" "usr/"
  else
    mkdir "usr/${folder##*/}"
    bind "$folder" "usr/${folder##*/}"
  fi
done
for folder in /bin /sbin /lib /lib32 /lib64 /libx32; do
  if [ -L "$folder" ]; then
    cp -P "$folder" .
  elif [ -d "$folder" ]; then
    mkdir "${folder#/}"
    bind "$folder" "${folder#/}"
  fi
done
# Where a package puts units and accounts.
for folder in usr/lib/systemd/system usr/lib/sysusers.d; do
  [ -d "$folder" ] || { echo "there is no /$folder here: install systemd" >&2; exit 1; }
  mount -t tmpfs -o mode=755 machine "$folder"
done

mount -t proc proc proc
for device in null zero full random urandom; do
  : >"dev/$device"
  mount --bind "/dev/$device" "dev/$device"
done
ln -s /proc/self/fd dev/fd

if [ -d /etc/alternatives ]; then mkdir etc/alternatives && bind /etc/alternatives etc/alternatives; fi
echo 'root:x:0:0:root:/root:/bin/bash' >etc/passwd
echo 'root:x:0:' >etc/group
# One who is not root outside has one account inside: every name is that one's.
if ! [ "$is_root" ]; then
  echo 'appproxy:x:0:0::/var/lib/appproxy:/usr/sbin/nologin' >>etc/passwd
  echo 'appproxy:x:0:' >>etc/group
fi
printf 'passwd: files\ngroup: files\nhosts: files\n' >etc/nsswitch.conf
# Nobody answers there.
echo 'nameserver 127.0.0.1' >etc/resolv.conf
cat >etc/hosts <<'HOSTS'
127.0.0.1 localhost
::1 localhost
10.1.2.1 gw1.example.com gw.example.com wiki.example.com login.example.com
10.1.2.3 wiki.corp.local
HOSTS
ip link set lo up
ip address add 10.1.2.1/32 dev lo
ip address add 10.1.2.3/32 dev lo

mount --bind "$shared" harness
: >host/appproxy
mount --bind "$program" host/appproxy
# The checkout that a document takes for granted.
mkdir root/appproxy/examples
bind "$repository/examples" root/appproxy/examples
cp "$repository/Cargo.toml" root/appproxy/

cp "$here/manager.py" host/
rm -f usr/{bin,sbin}/{appproxy,apt,cargo,deb-systemd-invoke,podman,sudo,sudoedit,systemctl}
for name in apt cargo podman sudo sudoedit systemctl; do
  cp "$here/$name" usr/bin/
  chmod 755 "usr/bin/$name"
done
# It asks first what an administrator forbids to packages, and nobody forbids anything here.
ln -s systemctl usr/bin/deb-systemd-invoke
cp "$here/terminal.sh" host/

exec chroot "$root" /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
  HOME=/root IS_ROOT="$is_root" /usr/bin/python3 /host/manager.py
