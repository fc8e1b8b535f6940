#!/bin/bash
# Process 1 of the virtual machine. Makes the host that the variant asks for, runs each test program as root and as an
# ordinary user, each in a cgroup as a login would have it, and powers off.
#
# The first serial line is the console; on the second the words of this script begin with `@@ `, and everything else is
# what the test programs print.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8
cd /
mount -t proc -o nosuid,nodev,noexec proc /proc
mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
mount -t securityfs securityfs /sys/kernel/security 2> /dev/null
mkdir -p /dev/pts /dev/shm
mount -t devpts -o mode=0620,ptmxmode=0666 devpts /dev/pts
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs /dev/shm
ln -sfn /proc/self/fd /dev/fd
mount -t tmpfs -o mode=0755,nosuid,nodev tmpfs /run
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs /tmp
ip link set lo up
# A host is on a network, has an address there and knows a neighbour.
ip link add eth0 type dummy && ip link set eth0 up && ip address add 192.0.2.2/24 dev eth0 &&
    ip neighbour add 192.0.2.1 lladdr 02:00:00:00:00:01 nud permanent dev eth0
hostname guest

stty -F /dev/ttyS1 raw -echo
exec > /dev/ttyS1

say() { printf '@@ %s\n' "$*"; }
# The words of a command line that begin with `agentic.`.
option() { sed -n "s/.*agentic\.$1=\([^ ]*\).*/\1/p" /proc/cmdline; }

# A login's place: systemd gives root a folder of its own, and hands an ordinary user one that is his to divide.
case $(option cgroup) in
v1)
    mount -t tmpfs -o mode=0755 tmpfs /sys/fs/cgroup
    for controller in memory pids cpuacct; do
        mkdir "/sys/fs/cgroup/$controller"
        mount -t cgroup -o "$controller" cgroup "/sys/fs/cgroup/$controller" || say "note no v1 $controller"
    done
    enter() { :; }
    ;;
*)
    mount -t cgroup2 -o nosuid,nodev,noexec,nsdelegate cgroup2 /sys/fs/cgroup
    cd /sys/fs/cgroup
    mkdir root-session user user/session
    for controller in cpu memory pids; do
        echo "+$controller" > cgroup.subtree_control || say "note no v2 $controller"
        echo "+$controller" > user/cgroup.subtree_control
    done
    chown 1000:1000 user user/cgroup.* user/session user/session/cgroup.*
    cd /
    enter() { echo 0 > "/sys/fs/cgroup/$1/cgroup.procs"; }
    ;;
esac
if [ "$(option userns)" = 0 ]; then
    echo 0 > /proc/sys/user/max_user_namespaces
fi

echo 'user:x:1000:1000::/home/user:/bin/bash' >> /etc/passwd
echo 'user:x:1000:' >> /etc/group
mkdir -p /home/user /var/tmp/user /var/tmp/root
chown 1000:1000 /home/user /var/tmp/user
chmod 0700 /home/user /var/tmp/user

# as USER PROGRAM...: in that user's cgroup, with nothing of this script's environment.
as() {
    local user=$1 home=/root place=root-session become=()
    shift
    if [ "$user" = user ]; then
        home=/home/user place=user/session become=(setpriv --reuid 1000 --regid 1000 --clear-groups)
    fi
    (
        enter "$place"
        exec "${become[@]}" env -i PATH=/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8 HOME="$home" \
            TMPDIR="/var/tmp/$user" AGENTIC_BIN=/tests/bin/agentic AGENTIC_SPAWNER=/tests/bin/agentic-spawner \
            AGENTIC_WEAKENED_SPAWNER=/tests/bin/weakened-spawner \
            AGENTIC_ATTACK_SLOWNESS=20 AGENTIC_TEST_ROOT=/tests/project INSTA_WORKSPACE_ROOT=/tests/project INSTA_UPDATE=no \
            "$@"
    ) < /dev/null
}

say "kernel $(uname -r)"
say "processor $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)"
say "lsm $(cat /sys/kernel/security/lsm)"
# landlock_create_ruleset with the VERSION flag.
say "landlock $(python3 -c 'import ctypes; print(max(0, ctypes.CDLL(None).syscall(444, None, 0, 1)))')"
for user in root user; do
    say "doctor $user"
    as "$user" timeout 300 /tests/bin/agentic doctor --json
    echo
    say "end $?"
done
# The filters' own tests evaluate programs without asking the kernel, which takes an emulated processor minutes.
while read -r user program package most label; do
    say "test $user $label"
    cd "/tests/project/$package"
    as "$user" CARGO_MANIFEST_DIR="/tests/project/$package" timeout --kill-after=10 "$most" \
        "/tests/bin/$program" --show-output --skip filters:: 2>&1
    say "end $?"
    cd /
done < /tests/list
say over
sync
echo o > /proc/sysrq-trigger
sleep 60
