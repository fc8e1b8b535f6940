#!/bin/busybox sh
# The first program of the virtual machine: loads what reads its disks, and hands over to the guest's own script.
/bin/busybox mount -t proc none /proc
/bin/busybox mount -t devtmpfs none /dev
while read -r module; do
    /bin/busybox insmod "/modules/$module" || echo "cannot load $module"
done < /modules/order
patience=300
while [ ! -b /dev/vdc ] && [ "$patience" -gt 0 ]; do
    /bin/busybox usleep 100000
    patience=$((patience - 1))
done
/bin/busybox mount -t ext4 /dev/vda /root
/bin/busybox mount -t ext4 /dev/vdb /root/modules
/bin/busybox mount -t ext4 /dev/vdc /root/tests
/bin/busybox mount --move /dev /root/dev
/bin/busybox umount /proc
exec /bin/busybox switch_root /root /bin/bash /tests/guest.sh
