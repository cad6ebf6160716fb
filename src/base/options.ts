// What a dump or a restore is asked to do: the shapes that command line, RPC and engine share.
// cli/options.ts makes them from a command line; they are frozen, so that no part of the engine can change them.

/**
 * An object that stays outside the image, named as CRIU names it. `rdev` and `dev` are `st_rdev` and `st_dev` of stat(2)
 * in the kernel's own encoding. `other` holds the kinds of mounts, namespaces, devices and links.
 */
export type External =
  | { readonly kind: 'tty'; readonly rdev: number; readonly dev: number }
  | { readonly kind: 'pipe'; readonly ino: number }
  | { readonly kind: 'socket'; readonly ino: number }
  | { readonly kind: 'unix'; readonly ino: number }
  | { readonly kind: 'file'; readonly mnt_id: number; readonly ino: bigint }
  | { readonly kind: 'path'; readonly path: string }
  | { readonly kind: 'other'; readonly type: string; readonly id: string; readonly value: string | undefined }

/** A descriptor of ours that stands for an object of the image. */
export type Inherited = {
  /** Our descriptor; on dump, where none is needed, undefined. */
  readonly fd: number | undefined
  readonly resource: External
  /** The canonical name, as `externalKey` makes it. */
  readonly key: string
}

/** The canonical name of an object: CRIU's spelling, by which images and options are matched. */
export function externalKey(external: External): string {
  switch (external.kind) {
    case 'tty':
      return `tty[${external.rdev.toString(16)}:${external.dev.toString(16)}]`
    case 'pipe':
      return `pipe:[${external.ino}]`
    case 'socket':
      return `socket:[${external.ino}]`
    case 'unix':
      return `unix[${external.ino}]`
    case 'file':
      return `file[${external.mnt_id.toString(16)}:${external.ino.toString(16)}]`
    case 'path':
      return external.path
    case 'other':
      return `${external.type}[${external.id}]`
  }
}

type Places = {
  /** The image directory, as it was named, and opened. */
  readonly imagesDir: string
  readonly imagesFd: number
  /** Where logs, pid files and statistics go; our working directory too. */
  readonly workDir: string
  readonly workFd: number
}

type Common = Places & {
  /** Objects outside the image; `--inherit-fd` on dump means the same and is added here. */
  readonly externals: readonly External[]
  /** `-j`: sessions and process groups may begin outside the tree. */
  readonly shellJob: boolean
  /** What is left when all is done: `dead` is the default of dump, `running` of restore. */
  readonly finalState: 'dead' | 'stopped' | 'running'
  readonly displayStats: boolean
  /** Where to write the pid of the restored root (a name relative to the work directory); dump ignores it. */
  readonly pidfile: string | undefined
  /** Deleted files up to this size are carried in the image. */
  readonly ghostLimitBytes: number
  readonly linkRemap: boolean
  readonly evasiveDevices: boolean
  readonly fileLocks: boolean
  readonly tcpEstablished: boolean
  readonly tcpClose: boolean
  /** How a file is known to be the same one at restore. */
  readonly fileValidation: 'filesize' | 'buildid'
  readonly unprivileged: boolean
}

export type DumpOptions = Common & {
  /** The root of the tree, in our pid namespace. */
  readonly pid: number
  /** Ptys whose other end is outside may stay in the image as they are: a restore makes a new one. */
  readonly orphanPtsMaster: boolean
  /** How long collecting and stopping the tree may take. */
  readonly timeoutSeconds: number
}

export type RestoreOptions = Common & {
  /** Return as soon as the tree runs, instead of waiting until its root ends. */
  readonly detached: boolean
  /** The root becomes a child of our parent. */
  readonly sibling: boolean
  readonly inherited: readonly Inherited[]
  readonly root: string | undefined
  readonly skipFileRwxCheck: boolean
  /** Print the program and change nothing. */
  readonly explain: boolean
  /** The terminal that stands for every one from outside. */
  readonly tty: TerminalChoice | undefined
  /** The same, opened: the restore itself says this. */
  readonly terminal: StandIn | undefined
  /** Terminals of ours get the window size of the image, instead of keeping their own. */
  readonly keepWinsize: boolean
  /** End as the root ends: with its exit status, or 128 and the signal that killed it. */
  readonly exitStatus: boolean
}

/** `new` is a pty that the restore makes, and keeps. */
export type TerminalChoice =
  | { readonly kind: 'path'; readonly path: string }
  | { readonly kind: 'fd'; readonly fd: number }
  | { readonly kind: 'new' }
  /**
   * Only for ptys whose other end was outside: the master of a fresh one is sent to a socket, ours or a listening one, or
   * is kept.
   */
  | { readonly kind: 'handed'; readonly to: number | string | undefined }

/** A terminal of ours that stands for those of the image. */
export type StandIn = {
  /** Our descriptor. */
  readonly fd: number
  /** How the caller named it, for messages. */
  readonly as: string
  /** The task whose session it controls, where the image's session has stayed outside and ours is not wanted. */
  readonly leader: number | undefined
}

export type CheckOptions = {
  /** Names to check, as given; empty for the whole of `category`. */
  readonly features: readonly string[]
  /** What CRIU calls category 2, needed only for certain programs. */
  readonly extra: boolean
  readonly experimental: boolean
}
