cd /mnt/v
# data: whole, sparse, appended, cut
dd if=/dev/urandom of=/tmp/a bs=1M count=20 2>/dev/null
cp /tmp/a a
sync
echo 3 >/proc/sys/vm/drop_caches
cmp /tmp/a a
truncate -s 10G sparse
test "$(stat -c %s sparse)" = 10737418240
test "$(stat -c %b sparse)" = 0
printf one >log
printf two >>log
test "$(cat log)" = onetwo
truncate -s 3 log
test "$(cat log)" = one
dd if=/dev/zero of=direct bs=64k count=16 oflag=direct 2>/dev/null
dd if=direct of=/dev/null bs=64k iflag=direct 2>/dev/null

# names: rename over, hard link, symbolic link, special files, exclusive create
echo new >b
mv b log
test "$(cat log)" = new
ln log hard
test "$(stat -c %h log)" = 2
test "$(stat -c %i log)" = "$(stat -c %i hard)"
rm log
test "$(cat hard)" = new
ln -s hard soft
test "$(readlink soft)" = hard
test "$(cat soft)" = new
mkfifo fifo
test -p fifo
mknod null c 1 3
test "$(stat -c %t:%T null)" = 1:3
mkdir -p d/e/f
mv d/e d2
test -d d2/f
test "$(stat -c %h d)" = 2
if rmdir d2 2>/dev/null; then exit 1; fi
if mv d2 d2/f/g 2>/dev/null; then exit 1; fi
(set -C; echo x >excl)
if (set -C; echo x >excl) 2>/dev/null; then exit 1; fi
long=$(printf %0255d 0)
touch "$long"
if touch "${long}1" 2>/dev/null; then exit 1; fi
rm "$long"

# an open file removed is still there for its holder
exec 9<>silly
echo held >&9
rm silly
test -z "$(ls silly 2>/dev/null)"
test "$(cat /proc/self/fd/9)" = held
exec 9>&-
test -z "$(ls -A | grep nfs0 || true)"

# attributes
touch -d '2001-02-03 04:05:06.123456789' times
test "$(stat -c %y times | cut -c1-29)" = '2001-02-03 04:05:06.123456789'
chmod 4751 times
test "$(stat -c %a times)" = 4751
chown 1000:100 times
test "$(stat -c %u:%g:%a times)" = 1000:100:751

# a large directory, listed and removed while listing
mkdir many
(cd many && seq 1 3000 | xargs touch)
test "$(ls many | wc -l)" = 3000
find many -type f -name '*7*' -delete
test "$(ls many | wc -l)" = "$(seq 1 3000 | grep -vc 7)"
rm -r many

# full is full, and free again after
if dd if=/dev/zero of=full bs=1M count=300 conv=fsync 2>/tmp/err; then exit 1; fi
grep -q 'No space left' /tmp/err
rm full
echo fits >full
sync

cd /
rm -rf /mnt/v/*
test -z "$(ls -A /mnt/v)"
