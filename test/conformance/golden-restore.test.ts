// The tree that CRIU itself dumped (test/golden), restored: its root looks at everything it had and says PASS.
// Its pids and its terminal's number are those of the image, so it gets a pid namespace and a devpts of its own.
import { expect, test } from 'bun:test'
import { existsSync, mkdirSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import { patience_ms, program, run } from './harness.ts'
import { projectRoot } from './workload-list.ts'

/** Where the dumped tree had its files. */
const place = '/tmp/bardo-golden'
const golden = join(projectRoot, 'test/golden')

const script = `
set -e
umask 0
mount -t tmpfs -o mode=755 tmpfs ${place}
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts /dev/pts
[ -L /dev/ptmx ] || mount --bind /dev/pts/ptmx /dev/ptmx
cd ${place}
cp "$GOLDEN/golden" golden; chmod 755 golden
printf 0123456789 > data; chmod 600 data
mkfifo -m 600 fifo
printf '3490\\n' > ready; chmod 640 ready
mkdir work
"$PROGRAM" restore -d -D "$GOLDEN/images" -W work -v4 -o restore.log || { tail -n 30 work/restore.log; exit 1; }
kill -USR1 3490
for i in $(seq 500); do [ -s result ] && break; sleep 0.01; done
cat result
# What it leaves is a session of its own, which would wait for ever: it ends with the namespace.
`

test(
  'a tree that CRIU dumped is restored whole',
  async () => {
    const isNew = !existsSync(place)
    if (isNew) mkdirSync(place)
    try {
      const unshare = ['unshare', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc']
      const ended = await run([...unshare, 'sh', '-c', script], {
        cwd: '/',
        env: { GOLDEN: golden, PROGRAM: program },
      })
      expect(ended).toEqual({ exitCode: 0, output: 'PASS\n' })
    } finally {
      if (isNew) rmdirSync(place)
    }
  },
  patience_ms * 2,
)
