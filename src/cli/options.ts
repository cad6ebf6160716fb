// The option table: every option of CRIU 4.2, by its name. The parser, the configuration files, the help text, the
// manual page and the completion come from it. An option that this version does not carry out is refused by name with
// its hint, never ignored; `harmless` ones are taken, since all they do is to allow or to arrange something about
// objects that this version refuses by name when it meets them.
import type { Spec } from './getopt.ts'

export type { CheckOptions, DumpOptions, RestoreOptions } from '../base/options.ts'

export const COMMANDS = {
  dump: 'save a tree of processes',
  'pre-dump': 'save its memory while it runs on, so that the dump that follows has less to save',
  restore: 'make the processes again from their images',
  attach: 'show the terminal of a tree that was restored with --tty new',
  check: 'tell whether this kernel has what is needed',
  'page-server': 'take memory pages from a dump elsewhere',
  service: 'serve requests on a socket',
  swrk: 'serve the requests of one peer on a descriptor',
  'lazy-pages': 'serve the memory of a restored tree on demand',
  dedup: 'drop pages that a later image holds again',
  cpuinfo: 'save (dump) or compare (check) the features of the processor',
  exec: 'gone from CRIU: see compel',
  show: 'gone from CRIU: see crit',
} as const satisfies Record<string, string>

export type Command = keyof typeof COMMANDS

/** The commands that this version carries out; the others are refused by name. */
export const READY: readonly Command[] = ['dump', 'restore', 'check', 'attach']

export const GROUPS = {
  tree: 'The tree and what becomes of it',
  places: 'Places',
  outside: 'Objects outside the tree',
  objects: 'What may be dumped and restored',
  cgroups: 'Control groups',
  mounts: 'Mounts and namespaces',
  memory: 'Memory in several dumps, and over the network',
  check: 'Of the command check',
  log: 'Log',
  other: 'Configuration and help',
} as const satisfies Record<string, string>

export type Option = Spec & {
  readonly group: keyof typeof GROUPS
  /** What the argument is, for the help text; in brackets when it may be left out. */
  readonly arg?: string
  readonly type: 'flag' | 'text' | 'number' | 'size' | 'choice' | 'verbosity'
  readonly choices?: readonly string[]
  /** May be given several times, and all count. */
  readonly many?: true
  readonly default?: string
  /** Where it has an effect; elsewhere it is taken with a warning, since tools pass one list to dump and restore. */
  readonly commands: readonly Command[]
  /** The version of Bardo that carries it out; absent for harmless and refused ones. */
  readonly since?: string
  /** Why taking it changes nothing. */
  readonly harmless?: string
  /** Not carried out yet: what to do instead. */
  readonly hint?: string
  /** Values that are carried out, or change nothing, though the option as such is not supported yet. */
  readonly only?: readonly string[]
  /** Not of CRIU, and so hidden when called as `criu`. */
  readonly ours?: true
  readonly doc: string
}

const BOTH = ['dump', 'restore'] as const
const DUMPS = ['dump', 'pre-dump'] as const
const ALL = Object.keys(COMMANDS) as readonly Command[]

const flag = { takes: 'nothing', type: 'flag' } as const
const text = { takes: 'value', type: 'text' } as const
const now = { since: '0.1.0' } as const

const NO_MOUNTS = 'only about mount namespaces, and a tree with its own is refused'
const NO_NETWORK = 'only about network namespaces and sockets, and these are refused'
const INCREMENTAL = 'make a full dump: incremental ones come later'
const NO_SERVER = 'write the images to a directory: servers come later'
const NO_CGROUPS = 'leave it out: the restored tree then lives in the control groups of the caller'

export const OPTIONS: readonly Option[] = [
  { long: 'tree', short: 't', ...text, type: 'number', arg: 'PID', group: 'tree', commands: DUMPS, ...now,
    doc: 'the root of the tree to save' },
  { long: 'restore-detached', short: 'd', ...flag, negatable: true, group: 'tree', commands: ['restore'], ...now,
    doc: 'return as soon as the tree runs' },
  { long: 'restore-sibling', short: 'S', ...flag, negatable: true, group: 'tree', commands: ['restore'], ...now,
    doc: 'make the root a child of the caller; needs --restore-detached' },
  { long: 'leave-stopped', short: 's', ...flag, group: 'tree', commands: BOTH, ...now,
    doc: 'leave the tree stopped, instead of killing it (dump) or letting it run (restore)' },
  { long: 'leave-running', short: 'R', ...flag, group: 'tree', commands: DUMPS, ...now,
    doc: 'let the tree run on after the dump' },
  { long: 'shell-job', short: 'j', ...flag, negatable: true, group: 'tree', commands: BOTH, ...now,
    doc: "take a job of a shell: its session, group and terminal come from the caller's" },
  { long: 'timeout', ...text, type: 'number', arg: 'SECONDS', default: '10', group: 'tree', commands: DUMPS, ...now,
    doc: 'how long stopping the tree may take' },
  { long: 'freeze-cgroup', ...text, arg: 'PATH', group: 'tree', commands: DUMPS,
    hint: 'leave it out: the tree is stopped task by task', doc: 'stop the tree by the freezer of this control group' },
  { long: 'exec-cmd', ...flag, group: 'tree', commands: ['restore'],
    hint: 'use --restore-detached and start the command yourself',
    doc: "run what follows '--' as the parent of the restored root" },
  { long: 'action-script', ...text, arg: 'FILE', many: true, group: 'tree', commands: BOTH,
    hint: 'run the script before or after the command', doc: 'run FILE at every stage' },
  { long: 'cpu-cap', takes: 'maybe', type: 'text', arg: '[CAP]', group: 'tree', commands: ['dump', 'restore', 'cpuinfo'],
    only: ['none'], hint: 'leave it out, or say --cpu-cap=none',
    doc: 'features of the processor to save and compare: cpu, fpu, ins, all, none, each negated by ^' },
  { long: 'exit-status', ...flag, negatable: true, group: 'tree', commands: ['restore'], ours: true, ...now,
    doc: 'end as the restored root does: with its status, or 128 and the signal that killed it' },
  { long: 'explain', ...flag, group: 'tree', commands: ['restore'], ours: true, ...now,
    doc: 'print the program that the restore would run, and change nothing' },
  { long: 'unprivileged', ...flag, negatable: true, group: 'tree', commands: ALL, ...now,
    doc: 'go on without being root, as far as the kernel allows' },

  { long: 'images-dir', short: 'D', ...text, arg: 'DIR', default: '.', group: 'places', commands: ALL, ...now,
    doc: 'the directory of the images' },
  { long: 'work-dir', short: 'W', ...text, arg: 'DIR', group: 'places', commands: ALL, ...now,
    doc: 'where logs, pid files and statistics go (default: the image directory)' },
  { long: 'pidfile', ...text, arg: 'FILE', group: 'places', commands: ['restore', 'service', 'page-server'], ...now,
    doc: 'write the pid of the restored root to FILE' },
  { long: 'libdir', short: 'L', ...text, arg: 'DIR', group: 'places', commands: BOTH,
    hint: 'leave it out: there are no plugins yet', doc: 'the directory of plugins' },
  { long: 'stream', ...flag, negatable: true, group: 'places', commands: BOTH, hint: 'use an image directory: streams come later',
    doc: 'pass the images to or from criu-image-streamer' },
  { long: 'status-fd', ...text, type: 'number', arg: 'FD', group: 'places', commands: ['page-server', 'service', 'lazy-pages', 'dump'],
    hint: 'leave it out: there are no servers yet', doc: 'write a zero byte to FD when a server is ready' },
  { long: 'close', ...text, type: 'number', arg: 'FD', many: true, group: 'places', commands: ALL, ...now,
    doc: 'close descriptor FD first' },

  { long: 'external', ...text, arg: 'RES', many: true, group: 'outside', commands: BOTH, ...now,
    doc: 'leave RES out of the dump: tty[RDEV:DEV], file[MNT_ID:INODE], unix[INODE], …' },
  { long: 'inherit-fd', ...text, arg: 'fd[N]:RES', many: true, group: 'outside', commands: BOTH, ...now,
    doc: "on restore, descriptor N of the caller stands for RES: tty[RDEV:DEV], pipe:[INODE], path/to/file; on dump, fd:RES is --external RES" },
  { long: 'tty', ...text, arg: 'PATH|fd:N|new', group: 'outside', commands: ['restore'], ours: true, ...now,
    doc: 'the terminal that stands for every one from outside: a path, descriptor N of the caller, or a fresh pty, which is shown here' },
  { long: 'orphan-pts-master', takes: 'maybe', type: 'text', arg: '[fd:N|SOCKET]', group: 'outside', commands: BOTH, ours: true, ...now,
    doc: "take ptys whose other end is outside, such as a container's console; on restore, the master of a fresh one is sent to socket N of the caller, or to a listening one, or else is kept as by --tty new" },
  { long: 'keep-winsize', ...flag, negatable: true, group: 'outside', commands: ['restore'], ours: true, ...now,
    doc: "give the caller's terminals the window size of the image; without it they keep theirs, and the program hears of it" },
  { long: 'ext-unix-sk', short: 'x', takes: 'maybe', type: 'text', arg: '[INODE,…]', group: 'outside', commands: BOTH,
    harmless: 'sockets whose other end is outside are refused', doc: 'allow unix sockets that lead outside' },
  { long: 'veth-pair', ...text, arg: 'IN=OUT', many: true, group: 'outside', commands: ['restore'], harmless: NO_NETWORK,
    doc: 'the outer name of a veth device; now --external veth[IN]:OUT' },
  { long: 'join-ns', short: 'J', ...text, arg: 'NS:PID|FILE', many: true, group: 'outside', commands: ['restore'],
    hint: 'enter the namespace first: nsenter(1)', doc: 'restore into an existing namespace' },

  { long: 'tcp-established', ...flag, negatable: true, group: 'objects', commands: BOTH, harmless: NO_NETWORK,
    doc: 'allow TCP connections' },
  { long: 'tcp-close', ...flag, negatable: true, group: 'objects', commands: BOTH, harmless: NO_NETWORK,
    doc: 'restore TCP connections as closed' },
  { long: 'skip-in-flight', ...flag, negatable: true, group: 'objects', commands: ['dump'], harmless: NO_NETWORK,
    doc: 'leave out connections that are not established yet' },
  { long: 'network-lock', ...text, type: 'choice', choices: ['iptables', 'nftables', 'skip', 'none'], arg: 'METHOD',
    group: 'objects', commands: ['dump'], harmless: NO_NETWORK, doc: 'how packets are held back during a dump' },
  { long: 'file-locks', short: 'l', ...flag, negatable: true, group: 'objects', commands: BOTH,
    harmless: 'locks are refused', doc: 'allow file locks' },
  { long: 'evasive-devices', ...flag, negatable: true, group: 'objects', commands: BOTH,
    harmless: 'a device whose name is gone is refused', doc: 'use any name of a device when its own is gone' },
  { long: 'link-remap', ...flag, negatable: true, group: 'objects', commands: BOTH,
    harmless: 'files that lost their name but have others are refused', doc: 'allow files that lost their name but have others' },
  { long: 'ghost-limit', ...text, type: 'size', arg: 'SIZE', default: '1M', group: 'objects', commands: BOTH,
    ...now, doc: 'the largest deleted file to carry in the image' },
  { long: 'ghost-fiemap', ...flag, negatable: true, group: 'objects', commands: ['dump'], harmless: 'holes of deleted files are found either way',
    doc: 'find the holes of deleted files by FIEMAP' },
  { long: 'force-irmap', ...flag, negatable: true, group: 'objects', commands: DUMPS,
    harmless: 'only about inotify and fanotify, and these are refused', doc: 'search names for watches' },
  { long: 'irmap-scan-path', ...text, arg: 'PATH', many: true, group: 'objects', commands: DUMPS,
    harmless: 'only about inotify and fanotify, and these are refused', doc: 'also search there' },
  { long: 'file-validation', ...text, type: 'choice', choices: ['filesize', 'buildid'], arg: 'METHOD', default: 'buildid',
    group: 'objects', commands: BOTH, ...now, doc: 'how to know that a file is the same at restore' },
  { long: 'skip-file-rwx-check', ...flag, negatable: true, group: 'objects', commands: ['restore'], ...now,
    doc: 'take files whose permissions changed' },
  { long: 'allow-uprobes', ...flag, negatable: true, group: 'objects', commands: BOTH,
    hint: 'remove the probes and start the program anew', doc: 'allow mappings of uprobes' },
  { long: 'lsm-profile', ...text, arg: 'TYPE:NAME', group: 'objects', commands: ['restore'],
    hint: 'leave it out: the tree is restored in the profile of the caller', doc: 'the security profile to restore in' },
  { long: 'weak-sysctls', ...flag, negatable: true, group: 'objects', commands: ['restore'], harmless: NO_NETWORK,
    doc: 'pass over sysctls that do not exist' },

  { long: 'manage-cgroups', takes: 'maybe', type: 'choice', choices: ['none', 'props', 'soft', 'full', 'strict', 'ignore'],
    arg: '[MODE]', only: ['ignore'], group: 'cgroups', commands: BOTH,
    hint: 'leave it out, or say --manage-cgroups=ignore: the restored tree then lives in the control groups of the caller',
    doc: 'save and restore control groups' },
  { long: 'cgroup-root', ...text, arg: '[CONTROLLER:]PATH', many: true, group: 'cgroups', commands: BOTH, hint: NO_CGROUPS,
    doc: 'another root for control groups' },
  { long: 'cgroup-props', ...text, arg: 'TEXT', group: 'cgroups', commands: BOTH, hint: NO_CGROUPS, doc: 'properties to save' },
  { long: 'cgroup-props-file', ...text, arg: 'FILE', group: 'cgroups', commands: BOTH, hint: NO_CGROUPS,
    doc: 'properties to save, from FILE' },
  { long: 'cgroup-dump-controller', ...text, arg: 'NAME', many: true, group: 'cgroups', commands: BOTH, hint: NO_CGROUPS,
    doc: 'save this controller only' },
  { long: 'cgroup-yard', ...text, arg: 'PATH', group: 'cgroups', commands: BOTH, hint: NO_CGROUPS,
    doc: 'where control groups are mounted' },

  { long: 'root', short: 'r', ...text, arg: 'PATH', group: 'mounts', commands: BOTH,
    ...now, doc: 'where the paths of the image begin' },
  { long: 'ext-mount-map', short: 'M', ...text, arg: 'KEY:VALUE', many: true, group: 'mounts', commands: BOTH,
    harmless: NO_MOUNTS, doc: 'now --external mnt[KEY]:VALUE' },
  { long: 'skip-mnt', ...text, arg: 'PATH', many: true, group: 'mounts', commands: ['dump'], harmless: NO_MOUNTS,
    doc: 'leave out this mount' },
  { long: 'enable-fs', ...text, arg: 'NAMES', many: true, group: 'mounts', commands: BOTH, harmless: NO_MOUNTS,
    doc: 'try file systems that are not known' },
  { long: 'enable-external-sharing', ...flag, group: 'mounts', commands: BOTH, harmless: NO_MOUNTS,
    doc: 'allow mounts shared with the outside' },
  { long: 'enable-external-masters', ...flag, group: 'mounts', commands: BOTH, harmless: NO_MOUNTS,
    doc: 'allow mounts that follow the outside' },
  { long: 'mntns-compat-mode', ...flag, negatable: true, group: 'mounts', commands: ['restore'], harmless: NO_MOUNTS,
    doc: "CRIU's older way to make mounts" },
  { long: 'lsm-mount-context', ...text, arg: 'CONTEXT', group: 'mounts', commands: ['restore'], harmless: NO_MOUNTS,
    doc: 'the SELinux context of mounts' },
  { long: 'empty-ns', ...text, type: 'choice', choices: ['net'], arg: 'net', group: 'mounts', commands: BOTH,
    hint: 'enter a fresh namespace first: unshare(1)', doc: 'make the namespace, leave what is in it to scripts' },

  { long: 'track-mem', ...flag, negatable: true, group: 'memory', commands: DUMPS, hint: INCREMENTAL,
    doc: 'note which pages change from now on' },
  { long: 'prev-images-dir', ...text, arg: 'DIR', group: 'memory', commands: DUMPS, hint: INCREMENTAL,
    doc: 'the images of the dump before, relative to the image directory' },
  { long: 'auto-dedup', ...flag, negatable: true, group: 'memory', commands: BOTH, hint: INCREMENTAL,
    doc: 'punch pages out of images as soon as they are held elsewhere' },
  { long: 'pre-dump-mode', ...text, type: 'choice', choices: ['splice', 'read'], arg: 'MODE', group: 'memory', commands: ['pre-dump'],
    hint: INCREMENTAL, doc: 'how a pre-dump reads memory' },
  { long: 'lazy-pages', ...flag, group: 'memory', commands: ['dump', 'restore', 'page-server'],
    hint: 'leave it out: memory is restored before the start', doc: 'bring memory in on demand, after the start' },
  { long: 'page-server', ...flag, negatable: true, group: 'memory', commands: ['dump', 'pre-dump', 'lazy-pages'], hint: NO_SERVER,
    doc: 'send the pages to a page server' },
  { long: 'address', ...text, arg: 'ADDR', group: 'memory', commands: ['dump', 'pre-dump', 'page-server', 'service', 'lazy-pages'],
    hint: NO_SERVER, doc: 'the address of a server' },
  { long: 'port', ...text, type: 'number', arg: 'PORT', group: 'memory', commands: ['dump', 'pre-dump', 'page-server', 'lazy-pages'],
    hint: NO_SERVER, doc: 'the port of a page server' },
  { long: 'ps-socket', ...text, type: 'number', arg: 'FD', group: 'memory', commands: ['dump', 'pre-dump', 'page-server'],
    hint: NO_SERVER, doc: 'the connected socket of a page server' },
  { long: 'daemon', ...flag, negatable: true, group: 'memory', commands: ['page-server', 'service', 'lazy-pages'], hint: NO_SERVER,
    doc: 'go on in the background' },
  ...([
    ['cacert', 'the certificate of the authority to trust'], ['cacrl', "the authority's list of revoked certificates"],
    ['cert', 'our TLS certificate'], ['key', 'our TLS key'],
  ] as const).map(([part, doc]): Option => (
    { long: `tls-${part}`, ...text, arg: 'FILE', group: 'memory', commands: ['dump', 'pre-dump', 'page-server', 'lazy-pages'],
      hint: NO_SERVER, doc })),
  { long: 'tls', ...flag, negatable: true, group: 'memory', commands: ['dump', 'pre-dump', 'page-server', 'lazy-pages'],
    hint: NO_SERVER, doc: 'speak TLS to the page server' },
  { long: 'tls-no-cn-verify', ...flag, group: 'memory', commands: ['dump', 'pre-dump', 'page-server', 'lazy-pages'],
    hint: NO_SERVER, doc: "do not compare the name in the server's certificate" },

  { long: 'feature', ...text, arg: 'NAME', many: true, group: 'check', commands: ['check'], ...now,
    doc: 'only tell about this feature, by the exit status too' },
  { long: 'extra', ...flag, negatable: true, group: 'check', commands: ['check'], ...now,
    doc: 'also check what only certain programs need' },
  { long: 'experimental', ...flag, negatable: true, group: 'check', commands: ['check'], ...now,
    doc: 'also check what is experimental' },
  { long: 'all', ...flag, group: 'check', commands: ['check'], ...now, doc: '--extra and --experimental' },
  { long: 'ms', ...flag, group: 'check', commands: ['check'], hint: 'say `check` alone, or --extra or --all',
    doc: 'gone from CRIU' },

  { long: 'log-file', short: 'o', ...text, arg: 'FILE', group: 'log', commands: ALL, ...now,
    doc: "write the log to FILE in the work directory; '-' is the standard output" },
  { long: 'verbosity', short: 'v', takes: 'maybe', type: 'verbosity', arg: '[LEVEL]', default: '2', group: 'log', commands: ALL, ...now,
    doc: '0: nothing, 1: errors, 2: warnings, 3: informations and times, 4: all; each bare v adds one' },
  { long: 'log-pid', ...flag, negatable: true, group: 'log', commands: ['restore'],
    harmless: 'one process restores the whole tree and writes one log', doc: 'a log for each process' },
  { long: 'display-stats', ...flag, negatable: true, group: 'log', commands: BOTH, ...now, doc: 'print times and counts at the end' },

  { long: 'config', ...text, arg: 'FILE', group: 'other', commands: ALL, ...now,
    doc: 'read options from FILE, and from no default file' },
  { long: 'no-default-config', ...flag, group: 'other', commands: ALL, ...now,
    doc: 'do not read /etc/criu/default.conf and $HOME/.criu/default.conf' },
  { long: 'deprecated', ...flag, negatable: true, group: 'other', commands: ALL, harmless: 'there is nothing deprecated',
    doc: 'allow what is deprecated' },
  { long: 'help', short: 'h', ...flag, group: 'other', commands: ALL, ...now, doc: 'print this text' },
  { long: 'version', short: 'V', ...flag, group: 'other', commands: ALL, ...now, doc: 'print the version' },
]
